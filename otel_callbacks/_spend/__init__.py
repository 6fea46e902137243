"""What a model call costs: prices, accounts and budgets."""

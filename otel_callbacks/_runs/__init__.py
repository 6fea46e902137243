"""The table of open runs, the life of a run, and runs whose end is never reported."""

"""The table of open runs, the lifecycle of a run, and lost runs."""

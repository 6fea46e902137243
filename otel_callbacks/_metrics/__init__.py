"""Series of runs: scraped, pushed, or kept in the files of several workers."""

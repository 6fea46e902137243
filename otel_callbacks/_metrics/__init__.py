"""Runs become series: scraped, pushed, or kept in the files of several workers."""

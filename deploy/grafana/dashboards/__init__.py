"""The four dashboards of the stack as code; ``build.py`` writes them as JSON."""

"""Gives tasks to a Celery worker, and waits for them."""

import sys

import celery_app
from celery import group

results = group(celery_app.ask.s(str(n)) for n in range(int(sys.argv[1])))()
results.get(timeout=90)

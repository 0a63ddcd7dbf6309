"""Two tasks of a shop that watches prices.

Plain Celery: `shared_task`, and names of your choice.
"""

import logging

from celery import shared_task

from warren import quota

log = logging.getLogger(__name__)


@shared_task(name="shop.fetch_price")
def fetch_price(article: int) -> float:
    """Return the price of an article; make one call to the provider."""
    # Only the call is in this block; the task was admitted with a slot for it.
    with quota("provider").call():
        price = 100.0 + article  # requests.get(...) in a real shop
    log.info("price of %s", article)  # a line of JSON in worker.log, with the task's id
    return price


@shared_task(name="shop.report")
def report() -> str:
    """Send further tasks."""
    for article in range(3):
        fetch_price.delay(article)
    return "three prices asked for"

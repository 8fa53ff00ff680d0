### BEGIN SOLUTION
"""What is in a basket, and what it costs."""

from collections.abc import Callable, Iterable, Mapping


class Basket:
    def __init__(self, customer: str | None = None) -> None:
        self.customer = customer
        self.lines: dict[str, int] = {}

    def add(self, isbn: str, count: int = 1) -> "Basket":
        self.lines[isbn] = self.lines.get(isbn, 0) + count
        return self

    def total(self, prices: Mapping[str, int]) -> int:
        return sum(prices[isbn] * count for isbn, count in self.lines.items())


def biggest(baskets: Iterable[Basket], key: Callable[[Basket], int]) -> Basket | None:
    return max(baskets, key=key, default=None)


def first_name(basket: Basket) -> str:
    if basket.customer is None:
        return ""
    return basket.customer.split()[0]
### END SOLUTION

"""Figures of a scrape in Prometheus's text format, read by Prometheus's own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


class Scrape:
    """``scrape("mlopt_requests_total", model="m", code=200)``: the sum over all other labels; None if there is none."""

    def __init__(self, text: bytes) -> None:
        families = text_string_to_metric_families(text.decode())
        self.samples = [(each.name, each.labels, each.value) for family in families for each in family.samples]

    def __call__(self, name: str, **labels: object) -> float | None:
        wanted = {key: str(value) for key, value in labels.items()}.items()
        found = [value for each, its, value in self.samples if each == name and wanted <= its.items()]
        return sum(found) if found else None

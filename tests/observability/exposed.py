"""What a worker shows on /metrics, and what an expression in PromQL reads of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jobkit.telemetry.metrics import CATALOGUE, Kind

# Given by Prometheus itself.
TARGET = {"job", "instance"}

_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR = re.compile(r"\b((?:jobkit|messaging|process)_\w+|up)\b(\{[^}]*\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|group_left|without)\s*\(([^)]*)\)")
_LEGEND = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")


@dataclass(frozen=True)
class Reading:
    """A series that an expression reads, and the labels that it wants of it."""

    name: str
    labels: frozenset[str]


def readings(expression: str) -> Iterator[Reading]:
    """Yield what an expression reads."""
    bare = _STRINGS.sub('""', expression)
    grouping = {label.strip() for group in _GROUPING.findall(bare) for label in group.split(",") if label.strip()}
    for name, selector in _SELECTOR.findall(bare):
        yield Reading(name, frozenset(grouping | set(_LABEL.findall(selector or ""))))


def legend_labels(legend: str) -> set[str]:
    """Return the labels that a legend or annotation names."""
    return set(_LEGEND.findall(legend))


def labels_of() -> Mapping[str, set[str]]:
    """Return the labels that each of jobkit's metrics can have, by its name in Prometheus."""
    found = {}
    for metric in CATALOGUE:
        attributes = {*metric.values, *metric.always}
        if metric.kind is Kind.HISTOGRAM:
            attributes |= {"error.type", "le"}
        for suffix in {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}[
            metric.kind
        ]:
            found[prometheus_name(metric.name, metric.unit) + suffix] = {
                attribute.replace(".", "_") for attribute in attributes
            }
    return found


def prometheus_name(name: str, unit: str) -> str:
    """Return a metric's name in Prometheus, without the suffix that its kind gives it."""
    return name.replace(".", "_") + ("_seconds" if unit == "s" else "")

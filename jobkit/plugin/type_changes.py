"""Whether a job type, as it is loaded here, still takes what programs submit that go by how it is published."""

from __future__ import annotations

from jobkit.plugin.groups import AnyProcessor
from jobkit.plugin.schema_changes import narrowed
from jobkit.plugin.type_definition import TypeDefinition, definition_of


def incompatible(processor: AnyProcessor, published: TypeDefinition) -> list[str]:
    """Return what is not taken any more, or not said any more, each as a sentence; nothing where all is well."""
    now = definition_of(processor)
    if published.version > now.version:
        return [f"version {published.version} is published, and the code here is of version {now.version}"]
    if published.version < processor.upcasts.oldest:
        return [f"payloads of version {published.version} are not read any more: no upcaster leads from there"]
    found = narrowed(published.payload, now.payload) if published.version == now.version else []
    if published.group != now.group:
        found.append(f"its group was {published.group or 'none'}, and is {now.group or 'none'}")
    if now.ordered and not published.ordered:
        found.append("it is ordered, and was not")
    gone = published.result.get("properties", {}).keys() - now.result.get("properties", {}).keys()
    return found + [f"result.{name}: it was removed" for name in sorted(gone)]

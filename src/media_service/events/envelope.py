"""Events as CloudEvents 1.0, in JSON: https://github.com/cloudevents/spec, version 1.0.2."""

import json
from typing import Any

from media_service.events.model import RelayedEvent

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
MEDIA_TYPE = "application/cloudevents+json"
# One for all events: `json.dumps` would make one for each.
TO_JSON = json.JSONEncoder(separators=(",", ":"))


def envelope(event: RelayedEvent, source: str) -> dict[str, Any]:
    """`source`: the URL of the service. `id` is the same however often the event is delivered.
    Extensions that do not apply are left out."""
    extensions = {
        "cursor": str(event.cursor),
        "sequence": str(event.sequence) if event.sequence else "",
        "organization": event.org_id,
        "project": event.project_id,
    }
    return {
        "specversion": SPEC_VERSION,
        "id": event.event_id,
        "source": source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": CONTENT_TYPE,
        **{name: value for name, value in extensions.items() if value},
        "data": dict(event.data),
    }


def to_json(event: RelayedEvent, source: str) -> bytes:
    return TO_JSON.encode(envelope(event, source)).encode()

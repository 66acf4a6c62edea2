"""Generates docs/events.md from the catalogue of events."""

from media_service.db.event_types import FIELDS, OF_MEDIA, EventType

HEAD = """# Events

<!-- Generated from src/media_service/db/event_types.py by `make gen`. -->

What has happened is told by WatchEvents, over REST by `/v1/events:watch`, and by every sink
([design](design/events.md)). An event is a CloudEvent 1.0 in JSON:

```json
{"specversion": "1.0", "id": "01a22f24-264b-7c7b-833d-7cc196a20775", "source": "https://media.example.com",
 "type": "media.ready", "subject": "media/01a22f24-0b11-7a52-8a9c-2f0f4a1f1b33", "time": "2026-12-01T01:08:07.978698Z",
 "datacontenttype": "application/json", "cursor": "1796083200000-4711", "sequence": "2", "organization": "acme",
 "project": "spring", "data": {"kind": "IMAGE", "state": "READY", "version": 1, "visibility": "PRIVATE", "reason": ""}}
```

- `id` is the same each time the event is delivered: use it to recognize repeated ones.
- `sequence` counts the events about one media, from 1 without gaps. An event that comes with a lower number than one
  that you have is a repetition.
- `cursor` is the place in the order of all events. Watch from there to get those behind it. Its first number changes
  when the service was restored from a backup. Forget the numbers of media then, and read what you follow again
  ([how](design/events.md#cursors)).
- `organization`, `project` and `sequence` are left out where there is none.

An event has no names of people or files, and no signed URLs: read the media to learn more.

## Types
"""


def page() -> str:
    parts = [HEAD, "\n| type | what has happened | data |\n|---|---|---|\n"]
    for type_ in EventType:
        of_media = type_.partition(".")[0] in {"media", "rendition", "scan"}
        names = sorted({*type_.fields, *(OF_MEDIA if of_media else ())})
        fields = ", ".join(f"`{name}`" for name in names) or "–"
        parts.append(f"| `{type_}` | {type_.about} | {fields} |\n")
    parts.append("\n## Data\n\n| field | meaning |\n|---|---|\n")
    parts += [f"| `{name}` | {about} |\n" for name, about in FIELDS.items()]
    return "".join(parts)

"""What a batch does, as JSON, for the job that does it later."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from media_service.access.owner import Owner
from media_service.batches.actions import Action, Delete, Move, Tag, Update
from media_service.batches.rendering import Process
from media_service.codecs.pipeline.pipeline import stored_pipeline
from media_service.jobs.model import Priority
from media_service.media.model import Visibility

# Fields of media whose values JSON does not have.
READ: Mapping[str, Any] = {
    "tags": tuple,
    "visibility": Visibility,
    "capture_time": datetime.fromisoformat,
    "expire_time": datetime.fromisoformat,
}


def to_json(action: Action[Any]) -> dict[str, Any]:
    match action:
        case Tag(add, remove):
            return {"do": "tag", "add": list(add), "remove": list(remove)}
        case Update(values):
            return {"do": "update", "values": {name: plain(one) for name, one in values.items()}}
        case Delete():
            return {"do": "delete"}
        case Move(owner, project_id):
            named = [owner.type, owner.id, owner.org_id] if owner else None
            return {"do": "move", "owner": named, "project_id": project_id}
        case Process(pipeline, name, priority, foreign):
            return {
                "do": "process",
                "pipeline": pipeline.text,
                "name": name,
                "priority": int(priority),
                "foreign": list(foreign),
            }
    raise TypeError(f"{type(action).__name__} cannot be stored")


def from_json(stored: Mapping[str, Any], purge_after: timedelta) -> Action[Any]:
    """`purge_after`: see `Delete`."""
    match stored:
        case {"do": "tag", "add": add, "remove": remove}:
            return Tag(tuple(add), tuple(remove))
        case {"do": "update", "values": values}:
            return Update({name: read(name, one) for name, one in values.items()})
        case {"do": "delete"}:
            return Delete(purge_after)
        case {"do": "move", "owner": owner, "project_id": project_id}:
            return Move(Owner(*owner) if owner else None, project_id)
        case {"do": "process", "pipeline": text, "name": name, "priority": priority}:
            pipeline = stored_pipeline(text)
            return Process(pipeline, name, Priority(priority), stored["foreign"])
    raise ValueError("an unknown action is stored")


def recipient_of(action: Action[Any]) -> str | None:
    """Who becomes the owner of the media, as a grantee."""
    if isinstance(action, Move) and action.owner:
        return f"{action.owner.type}:{action.owner.id}"
    return None


def plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def read(name: str, value: Any) -> Any:
    convert = READ.get(name)
    return convert(value) if convert and value is not None else value

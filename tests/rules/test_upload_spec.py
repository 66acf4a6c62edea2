"""Attributes set on upload follow the same rules as later updates."""

from mediaservice.v1.media_pb2 import Media
from mediaservice.v1.upload_pb2 import UploadSpec

from media_service.contract import field_rules
from media_service.media.service import CHANGEABLE


def test_fields_of_an_upload_spec_have_the_rules_of_media_fields() -> None:
    for name in CHANGEABLE:
        stated = UploadSpec.DESCRIPTOR.fields_by_name[name]
        changed = Media.DESCRIPTOR.fields_by_name[name]
        assert field_rules(stated) == field_rules(changed), name
        assert (stated.type, stated.message_type) == (changed.type, changed.message_type) or (
            name == "labels"  # each map has an entry type of its own
        )

"""Generates docs/errors.md from the enum of reasons."""

import textwrap

from google.rpc import code_pb2
from mediaservice.v1 import error_reason_pb2

from contract.descriptors import Contract, prose

HEAD = """# Errors

<!-- Generated from protos/mediaservice/v1/error_reason.proto by `make gen`. -->

Every error is a `google.rpc.Status` with one `google.rpc.ErrorInfo`: its `domain` is `mediaservice`, its `reason` is
one of those below, and its `metadata` has the listed keys. Over REST the status is the JSON body. Match on `reason`,
which is stable; messages may change.

- `INVALID_FIELD` and similar errors add a `google.rpc.BadRequest` that names the fields.
- Errors that may go away by themselves ("retry") add a `google.rpc.RetryInfo`, over REST also `Retry-After`.
- All listed metadata keys are present; a value that is not known is empty.
- The errors kept in `Job.error` and `Media.error` have the metadata as well, those kept in `Upload.error` do not.

```json
{"code": 11, "message": "The range lies outside the content, which has 2190194 bytes.",
 "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RANGE_NOT_SATISFIABLE",
              "domain": "mediaservice", "metadata": {"complete_size_bytes": "2190194"}}]}
```
"""
WIDTH = 120


def page(contract: Contract) -> str:
    enum = error_reason_pb2.ErrorReason.Value.DESCRIPTOR
    parts = [HEAD]
    for value in enum.values:
        comment = contract.comment(f"{enum.full_name}.{value.name}")
        for section in comment.detached:
            title, _, introduction = section.partition("\n")
            parts.append(f"\n## {title}\n")
            if introduction:
                parts.append(f"\n{paragraph(introduction)}")
        if value.number:
            parts.append(f"\n### {value.name}\n\n")
            parts.append(paragraph(facts(value.GetOptions().Extensions[error_reason_pb2.error])))
            parts.append(f"\n{paragraph(comment.text)}")
    return "".join(parts)


def facts(rule: error_reason_pb2.ErrorRule) -> str:
    """The codes, metadata and details of an error."""
    found = [code_pb2.Code.Name(rule.code)]
    if rule.http_status:
        found.append(f"HTTP {rule.http_status}")
    if rule.retriable:
        found.append("retry")
    if rule.metadata:
        found.append(f"metadata: {', '.join(f'`{key}`' for key in rule.metadata)}")
    return "; ".join(found)


def paragraph(text: str) -> str:
    return textwrap.fill(prose(text), WIDTH, break_long_words=False) + "\n"

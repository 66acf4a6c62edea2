"""Calls of PolicyService."""

from typing import Any

from mediaservice.v1 import policy_service_pb2 as policies

from tests.support.rpc.server import Caller


async def set_policy(caller: Caller, resource: str, **settings: Any) -> policies.ResourcePolicy:
    request = policies.SetPolicyRequest(resource=resource, policy=policies.Policy(**settings))
    return await caller.call(caller.policies.SetPolicy, request)


async def get_policy(caller: Caller, resource: str) -> policies.ResourcePolicy:
    request = policies.GetPolicyRequest(resource=resource)
    return await caller.call(caller.policies.GetPolicy, request)


async def block(caller: Caller, resource: str, sha256: str) -> policies.BlockedFile:
    request = policies.BlockFileRequest(resource=resource, sha256=sha256)
    return await caller.call(caller.policies.BlockFile, request)

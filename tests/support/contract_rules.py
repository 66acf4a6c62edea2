"""The methods of the contract and their HTTP rules."""

from google.protobuf.descriptor import MethodDescriptor
from mediaservice.v1 import rule_pb2
from mediaservice.v1.rule_pb2 import Rule

from media_service.rpc.server import SERVICES

METHODS = [method for service in SERVICES for method in service.methods]


def rule_of(method: MethodDescriptor) -> Rule:
    return method.GetOptions().Extensions[rule_pb2.rule]

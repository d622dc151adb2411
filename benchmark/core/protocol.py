"""The version of the protocol, raised whenever a change to shared code changes what a result means."""

PROTOCOL_VERSION = "8"

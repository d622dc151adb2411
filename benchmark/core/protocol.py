"""The version of the protocol: raised whenever a change to shared code changes what a figure means."""

PROTOCOL_VERSION = "2"

"""Public path of `devices.qr.codec.cpm`."""

from devices.qr.codec.cpm import *  # noqa: F403

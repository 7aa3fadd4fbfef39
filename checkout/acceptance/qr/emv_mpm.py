"""Public path of `devices.qr.codec.mpm`."""

from devices.qr.codec.mpm import *  # noqa: F403

"""Public path of `devices.qr.codec.cpm`."""

from devices.qr.codec.cpm import (
    Application as Application,
    BerObject as BerObject,
    BrokenRule as BrokenRule,
    CodecError as CodecError,
    ConsumerPresented as ConsumerPresented,
    CpmReading as CpmReading,
    Verdict as Verdict,
    build as build,
    parse as parse,
)

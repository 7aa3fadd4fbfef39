"""Public path of `devices.qr.codec.mpm`."""

from devices.qr.codec.mpm import (
    AdditionalContent as AdditionalContent,
    BrokenRule as BrokenRule,
    CodecError as CodecError,
    LanguageTemplate as LanguageTemplate,
    MerchantAccount as MerchantAccount,
    MerchantPresented as MerchantPresented,
    MpmReading as MpmReading,
    Template as Template,
    Tip as Tip,
    Verdict as Verdict,
    build as build,
    parse as parse,
)

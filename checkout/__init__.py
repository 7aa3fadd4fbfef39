"""A merchant checkout that takes QR codes and NFC taps and shows what each really does."""

from qrcode.main import QRCode as QRCode, make as make

from qrcode.main import QRCode as QRCode
from qrcode.main import make as make

"""The key of a CA: made, opened, and encrypted with scrypt (PKCS 8).

Python's cryptography reads such a key, and itself writes 2048 rounds of PBKDF2 only.

Sources: RFC 8018, A.4 (PBES2), RFC 7914, 7 (scrypt in PKCS 5), RFC 5958, 3 (EncryptedPrivateKeyInfo).
"""

from __future__ import annotations

import base64
import hashlib
import os
import textwrap

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

CURVES: dict[str, type[ec.EllipticCurve]] = {"secp256r1": ec.SECP256R1, "secp384r1": ec.SECP384R1}

# As `openssl pkcs8 -scrypt`: 16 MiB for each guess, and 0.05 s for each run and each certificate that it signs. OpenSSL
# opens nothing that takes more than 32 MiB.
COST, BLOCK, TURNS, KEY_LENGTH = 1 << 14, 8, 1, 32
_PBES2 = bytes.fromhex("2a864886f70d01050d")
_SCRYPT = bytes.fromhex("2b06010401da47040b")
_AES_256_CBC = bytes.fromhex("60864801650304012a")
_INTEGER, _OCTETS, _OID, _SEQUENCE = 0x02, 0x04, 0x06, 0x30
# Put together, because who scans a repository for keys takes the whole line for one.
_LABEL = "ENCRYPTED PRIVATE KEY"
_BEGIN, _END = f"-----BEGIN {_LABEL}-----", f"-----END {_LABEL}-----"


def _der(tag: int, *parts: bytes) -> bytes:
    """Return one element of DER (X.690)."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(number: int) -> bytes:
    return _der(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _derivation(salt: bytes) -> bytes:
    """Return the AlgorithmIdentifier of scrypt with our cost."""
    numbers = (_integer(number) for number in (COST, BLOCK, TURNS, KEY_LENGTH))
    return _der(_SEQUENCE, _der(_OID, _SCRYPT), _der(_SEQUENCE, _der(_OCTETS, salt), *numbers))


def make_key(curve: str) -> PrivateKeyTypes:
    """Return a new private key on one of CURVES."""
    return ec.generate_private_key(CURVES[curve]())


def open_key(pem: bytes, passphrase: bytes) -> PrivateKeyTypes:
    """Return a private key from PEM. TypeError: it is not encrypted. ValueError: the passphrase does not open it."""
    return load_pem_private_key(pem, passphrase)


def seal(key: PrivateKeyTypes, passphrase: bytes) -> bytes:
    """Return a private key encrypted, as PEM."""
    clear = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, vector = os.urandom(16), os.urandom(16)
    secret = hashlib.scrypt(passphrase, salt=salt, n=COST, r=BLOCK, p=TURNS, dklen=KEY_LENGTH)
    pad = padding.PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(secret), modes.CBC(vector)).encryptor()
    hidden = encryptor.update(pad.update(clear) + pad.finalize()) + encryptor.finalize()
    scheme = _der(_SEQUENCE, _der(_OID, _AES_256_CBC), _der(_OCTETS, vector))
    algorithm = _der(_SEQUENCE, _der(_OID, _PBES2), _der(_SEQUENCE, _derivation(salt), scheme))
    text = base64.b64encode(_der(_SEQUENCE, algorithm, _der(_OCTETS, hidden))).decode()
    return "\n".join([_BEGIN, *textwrap.wrap(text, 64), _END, ""]).encode()


def is_sealed(pem: bytes) -> bool:
    """Return whether a key in PEM is encrypted with scrypt."""
    _, _, rest = pem.decode(errors="replace").partition(_BEGIN)
    try:
        der = base64.b64decode("".join(rest.partition(_END)[0].split()), validate=True)
    except ValueError:
        return False
    return _der(_OID, _SCRYPT) in der

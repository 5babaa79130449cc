//! The key that blocks are signed with: Ed25519.

use std::{fmt, sync::Arc};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use thiserror::Error;

/// A public key, 32 raw bytes.
pub type PublicKey = [u8; 32];
/// A signature, 64 raw bytes.
pub type Signature = [u8; 64];

/// What is wrong with a key. It quotes nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be an Ed25519 private key: PKCS#8 as PEM, or as base64")]
pub struct KeyError;

/// The private key. `Debug` shows only which one it is, by its public half.
#[derive(Clone)]
pub struct SealKey(Arc<Ed25519KeyPair>);

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

impl SealKey {
    /// A key that nobody has seen before.
    ///
    /// # Errors
    /// The machine has no randomness to give.
    pub fn generate() -> Result<Self, KeyError> {
        Ed25519KeyPair::generate().map(|pair| Self(Arc::new(pair))).map_err(|_| KeyError)
    }

    /// Reads PKCS#8: PEM, or the base64 inside of it; white space does not matter.
    ///
    /// # Errors
    /// It is no such key.
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let inside = match text.strip_prefix(BEGIN) {
            Some(rest) => rest.trim_end().strip_suffix(END).ok_or(KeyError)?,
            None => text,
        };
        let inside: SecretString = inside.split_whitespace().collect::<String>().into();
        let der = STANDARD.decode(inside.expose_secret()).map_err(|_| KeyError)?;
        let der: SecretSlice<u8> = der.into();
        // Keys of openssl come without their public half.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.expose_secret()).map_err(|_| KeyError)?;
        Ok(Self(Arc::new(pair)))
    }

    /// The key as PEM, as [`SealKey::read`] takes it.
    ///
    /// # Errors
    /// None that was ever seen: a key that cannot be written.
    pub fn pem(&self) -> Result<SecretString, KeyError> {
        Ok(format!("{BEGIN}\n{}\n{END}\n", self.base64()?.expose_secret()).into())
    }

    /// The same in one line: the base64 inside of the PEM.
    ///
    /// # Errors
    /// None that was ever seen: a key that cannot be written.
    pub fn base64(&self) -> Result<SecretString, KeyError> {
        let der = self.0.to_pkcs8v1().map_err(|_| KeyError)?;
        Ok(STANDARD.encode(der.as_ref()).into())
    }

    /// The half that everybody may know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Signature, KeyError> {
        let signature = self.0.try_sign(message).map_err(|_| KeyError)?;
        signature.as_ref().try_into().map_err(|_| KeyError)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey(public {})", super::hex(&self.public()))
    }
}

/// Whether the message was signed with the private half of that key.
#[must_use]
pub(super) fn is_signed(message: &[u8], signature: &Signature, key: &PublicKey) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

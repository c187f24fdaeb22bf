//! Who may do what, and secrets.

use enginehouse_model::{FullName, SecretName};
use reqwest::Method;

use super::{ANSWER, Client};
use crate::{
    ClientError, CreatedToken, GrantList, Operation, RotatedToken, SecretList, SecretValue, Token,
    TokenList, TokenRequest, WhoAmI, routes,
};

impl Client {
    /// Who the token stands for, and what it may do.
    pub async fn whoami(&self) -> Result<WhoAmI, ClientError> {
        self.get(routes::WHOAMI, &()).await
    }

    /// What is granted: all that holds at `path`, or what is written anywhere.
    pub async fn grants(&self, path: Option<&FullName>) -> Result<GrantList, ClientError> {
        let query: Vec<(&str, &FullName)> = path.map(|path| ("path", path)).into_iter().collect();
        self.get(routes::GRANTS, &query).await
    }

    pub async fn tokens(&self) -> Result<TokenList, ClientError> {
        self.get(routes::TOKENS, &()).await
    }

    /// Makes a token; this answer is the only one that shows it.
    pub async fn create_token(&self, request: &TokenRequest) -> Result<CreatedToken, ClientError> {
        self.post(routes::TOKENS, request).await
    }

    /// Ends a token for good.
    pub async fn revoke_token(&self, id: &str) -> Result<Token, ClientError> {
        let url = self.named(routes::TOKENS, id)?;
        self.send(self.http.delete(url).timeout(ANSWER)).await
    }

    /// Makes a new token of the installation in place of the one that is.
    pub async fn rotate_token(&self) -> Result<RotatedToken, ClientError> {
        self.send(self.request(Method::POST, routes::TOKENS_ROTATE, ANSWER)?)
            .await
    }

    /// All secrets, without their values.
    pub async fn secrets(&self) -> Result<SecretList, ClientError> {
        self.get(routes::SECRETS, &()).await
    }

    /// Gives a secret a value.
    pub async fn set_secret(
        &self,
        name: &SecretName,
        value: &SecretValue,
    ) -> Result<Operation, ClientError> {
        let url = self.named(routes::SECRETS, name.as_str())?;
        self.send_order(self.http.put(url).timeout(ANSWER).json(value), None)
            .await
    }

    /// Removes a secret that nothing uses.
    pub async fn remove_secret(&self, name: &SecretName) -> Result<Operation, ClientError> {
        let url = self.named(routes::SECRETS, name.as_str())?;
        self.send_order(self.http.delete(url).timeout(ANSWER), None)
            .await
    }

    /// Encrypts all secrets with a new key.
    pub async fn rotate_key(&self) -> Result<Operation, ClientError> {
        let request = self.request(Method::POST, routes::SECRET_KEY_ROTATE, ANSWER)?;
        self.send_order(request, None).await
    }
}

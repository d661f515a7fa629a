/* SPDX-License-Identifier: MIT */
/*
 * error.c - OpenSSL's errors as negative errno values with a text for people.
 */
#include <stdio.h>
#include <string.h>

#include "tls/tls.h"

const char *rn__tls_reason(void)
{
    unsigned long e = ERR_get_error();
    const char *text = e ? ERR_reason_error_string(e) : NULL;

    ERR_clear_error();
    return text ? text : "no reason given";
}

/* The names that a certificate is for, as many as fit. */
void rn__tls_names_of(X509 *cert, char *text, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t at = 0;

    text[0] = 0;
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && at < size; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        const unsigned char *p;
        char number[64];

        if (n->type == GEN_DNS) {
            at += (size_t)snprintf(text + at, size - at, "%s%.*s", at ? ", " : "",
                                   ASN1_STRING_length(n->d.dNSName),
                                   (const char *)ASN1_STRING_get0_data(n->d.dNSName));
        } else if (n->type == GEN_IPADD && ASN1_STRING_length(n->d.iPAddress) == 4) {
            p = ASN1_STRING_get0_data(n->d.iPAddress);
            snprintf(number, sizeof number, "%d.%d.%d.%d", p[0], p[1], p[2], p[3]);
            at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", number);
        }
    }
    GENERAL_NAMES_free(names);
    if (!text[0] &&
        X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, text, (int)size) < 0)
        snprintf(text, size, "nobody");
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127)
            *c = '?';
}

static int why_not_verified(SSL *ssl, const char *host, long result, char *text, size_t size)
{
    const struct rn_tls *t = SSL_get_app_data(ssl);

    switch (result) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        snprintf(text, size, "tls %.48s: the certificate is for %s", host, t->names);
        return -EKEYREJECTED;
    case X509_V_ERR_APPLICATION_VERIFICATION:
        snprintf(text, size, "tls %.60s: the certificate's key is not a pinned one", host);
        return -EKEYREJECTED;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        snprintf(text, size, "tls %.60s: the certificate has expired", host);
        return -EKEYEXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        snprintf(text, size, "tls %.60s: the certificate is not valid yet", host);
        return -EKEYEXPIRED;
    case X509_V_ERR_CERT_REVOKED:
        snprintf(text, size, "tls %.60s: the certificate has been revoked", host);
        return -EKEYREVOKED;
    default:
        snprintf(text, size, "tls %.48s: the certificate does not verify: %s", host,
                 X509_verify_cert_error_string(result));
        return -EKEYREJECTED;
    }
}

int rn__tls_why(SSL *ssl, const char *host, bool handshake, char *text, size_t size)
{
    unsigned long e = ERR_peek_error();
    int reason = ERR_GET_REASON(e), code = -EPROTO;
    long result = SSL_get_verify_result(ssl);
    const char *said = NULL;

    if (ERR_GET_LIB(e) == ERR_LIB_SSL) {
        if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && result != X509_V_OK)
            code = why_not_verified(ssl, host, result, text, size);
        else if (reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
            code = -EKEYREJECTED, said = "the peer has shown no certificate";
        else if (reason == SSL_R_UNEXPECTED_EOF_WHILE_READING)
            code = -EIO, said = handshake ? "the stream ended in the handshake"
                                          : "the stream ended without a goodbye: cut short";
        else if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_WRONG_VERSION_NUMBER)
            said = "what came is not TLS";
        else if (reason == SSL_R_NO_APPLICATION_PROTOCOL)
            said = "no common ALPN protocol";
        else if (reason >= SSL_AD_REASON_OFFSET)
            said = SSL_alert_desc_string_long(reason - SSL_AD_REASON_OFFSET);
    }
    if (ERR_GET_LIB(e) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET)
        snprintf(text, size, "tls %.48s: the peer says: %s", host, said);
    else if (said)
        snprintf(text, size, "tls %.60s: %s", host, said);
    else if (code == -EPROTO) {
        said = e ? ERR_reason_error_string(e) : NULL;
        if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)
            code = -ENOMEM;
        snprintf(text, size, "tls %.48s: %s", host, said ? said : "the protocol is broken");
    }
    ERR_clear_error();
    return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * error.c - curl's errors as negative errno values.
 */
#include <errno.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#include "http/http.h"

static int why_not_verified(const struct line *l)
{
    long result = X509_V_OK;

    curl_easy_getinfo(l->easy, CURLINFO_SSL_VERIFYRESULT, &result);
    switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return -EKEYEXPIRED;
    case X509_V_ERR_CERT_REVOKED:
        return -EKEYREVOKED;
    default:
        return -EKEYREJECTED;
    }
}

int rn__http_error_of(const struct line *l, CURLcode code)
{
    long os = 0;

    curl_easy_getinfo(l->easy, CURLINFO_OS_ERRNO, &os);
    if (code != CURLE_COULDNT_CONNECT && (os == ECONNREFUSED || os == ENETUNREACH))
        os = 0; /* of an address before the one that it took */
    if (os == EPIPE)
        os = ECONNRESET; /* of a send after that, be it the goodbye's */
    switch ((int)code) {
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        return -EINVAL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -ENOENT;
    case CURLE_COULDNT_CONNECT:
        return os ? -(int)os : -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
        return why_not_verified(l);
    case CURLE_SSL_CONNECT_ERROR:
        if (os == ECONNRESET)
            return -ECONNRESET;
        /* The stream has ended, in the words of curl and in OpenSSL's; curl has no code of its own for this. */
        return strstr(l->text, "SSL_ERROR_SYSCALL") || strstr(l->text, "unexpected eof") ? -EIO
                                                                                         : -EPROTO;
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CIPHER:
    case CURLE_PROXY:
        return -EPROTO;
    case CURLE_SEND_ERROR:
        return os ? -(int)os : -ECONNRESET;
    case CURLE_RECV_ERROR:
        /* curl has no code of its own for this. */
        if (strstr(l->text, "chunked"))
            return -EBADMSG;
        return os ? -(int)os : -EIO; /* TLS that ends without a goodbye */
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return -EIO;
    case CURLE_UNSUPPORTED_PROTOCOL: /* of the answer: HTTP/0.9 */
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return -EBADMSG;
    default:
        return -EIO;
    }
}

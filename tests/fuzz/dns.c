/* SPDX-License-Identifier: MIT */
/* dns.c - answers of DNS servers under libFuzzer: whatever comes, what is read of it is whole. */
#include <assert.h>
#include <string.h>

#include "dns/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int types[] = {RN_DNS_A,  RN_DNS_AAAA, RN_DNS_CNAME, RN_DNS_MX,
                                RN_DNS_NS, RN_DNS_PTR,  RN_DNS_SRV,   RN_DNS_TXT};
    struct answer *a, *copy;
    int type;

    if (size == 0)
        return 0;
    type = types[data[0] % 8];
    if (rn__dns_parse(data + 1, size - 1, "x.test", type, &a) != 0)
        return 0;
    assert(a->err == 0 ? a->pub.count > 0 : a->pub.count == 0);
    assert(a->ttl <= 86400);
    for (size_t i = 0; i < a->pub.count; i++) {
        const rn_dns_record *r = &a->pub.records[i];

        assert(!r->name || strlen(r->name) < DNS_NAME);
        assert(!r->text || r->text[r->text_size] == 0);
    }
    copy = rn__dns_answer_copy(a);
    assert(!copy || copy->pub.count == a->pub.count);
    rn__dns_answer_unref(copy);
    rn__dns_answer_unref(a);
    return 0;
}

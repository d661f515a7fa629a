/* SPDX-License-Identifier: MIT */
/* addr.c - addresses under libFuzzer: what is parsed has a text, and the text gives the same address again. */
#include <assert.h>
#include <runnel/net.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const networks[] = {"tcp", "tcp4", "tcp6", "udp", "unix", "unixgram"};
    const char *network;
    char *text;

    if (size == 0)
        return 0;
    network = networks[data[0] % 6];
    text = malloc(size);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    {
        char back[RN_ADDR_TEXT], again[RN_ADDR_TEXT];
        rn_addr a, b;

        if (rn_addr_parse(&a, network, text) == 0) {
            int n = rn_addr_text(&a, back, sizeof back);

            assert(n >= 0 && (size_t)n == strlen(back));
            assert(rn_addr_parse(&b, network, back) == 0);
            assert(rn_addr_equal(&a, &b));
            assert(rn_addr_text(&b, again, sizeof again) == n && strcmp(back, again) == 0);
        }
    }
    free(text);
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * uninstrumented.h - libraries of others that ThreadSanitizer does not see into: their atomics, and what they keep for a
 * thread, which goroutines use in turn. What they do with their own memory is left out; what we and the tests do is not. See
 * tls.h and http.h. For one file of a program.
 */
#ifndef TEST_UNINSTRUMENTED_H
#define TEST_UNINSTRUMENTED_H

const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libcrypto.so\ncalled_from_lib:libssl.so\n"
           "called_from_lib:libcurl.so\ncalled_from_lib:libnghttp2.so\n";
}

#endif

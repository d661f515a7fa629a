/* SPDX-License-Identifier: MIT */
/* replay.c - a fuzz target over the files of the folders named: for machines without libFuzzer, and as a test. */
#define _GNU_SOURCE
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
    int count = 0;

    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        struct dirent *e;

        while (dir && (e = readdir(dir))) {
            char name[1000];
            uint8_t *data = malloc(1 << 20);
            size_t n;
            FILE *f;

            snprintf(name, sizeof name, "%s/%s", argv[i], e->d_name);
            f = e->d_name[0] == '.' ? NULL : fopen(name, "rb");
            if (f) {
                n = fread(data, 1, 1 << 20, f);
                fclose(f);
                data = realloc(data, n ? n : 1); /* so that a read behind its end is seen */
                LLVMFuzzerTestOneInput(data, n);
                count++;
            }
            free(data);
        }
        if (dir)
            closedir(dir);
    }
    printf("%d inputs\n", count);
    return count == 0;
}

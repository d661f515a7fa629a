/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line.
 */
#ifndef RNSUM_OPTIONS_H
#define RNSUM_OPTIONS_H

#include <runnel.h>

/* What the exit status says; --help and README.md list the same. */
enum status {
    STATUS_OK = 0,
    STATUS_PROBLEMS = 1,  /* some file could not be read, or did not match */
    STATUS_USAGE = 2,     /* the command line makes no sense; nothing was done */
    STATUS_BROKEN = 3,    /* the output could not be written, or memory ran out */
    STATUS_TIMEOUT = 124, /* as timeout(1) */
    STATUS_SIGNAL = 128,  /* plus the signal: 130 for SIGINT, 143 for SIGTERM */
};

struct options {
    bool check;
    bool quiet, silent, strict, warn, ignore_missing; /* of --check; silent is --status */
    bool sorted;
    bool follow;
    bool zero;
    int jobs;
    rn_dur timeout; /* 0: none */
    char **operands;
    size_t operand_count;
};

/*
 * Read the command line into *ret. Returns true when there is work to do; else what was asked (help,
 * the version) or what was wrong has been said, and *ret_status is the exit status.
 */
bool options_parse(struct options *ret, int argc, char **argv, int *ret_status);

#endif

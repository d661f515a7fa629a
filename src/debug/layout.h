/* SPDX-License-Identifier: MIT */
/*
 * layout.h - where the runtime's structures and their fields are, for whoever reads this process's memory from outside:
 * rntop. It finds the table by an ELF note, which is in memory with the library or the program that the library is linked
 * into, stripped or not: owner "runnel", type LAYOUT_NOTE, its 8 bytes the distance from themselves to the table.
 *
 * The table says everything by name, so that a reader can do with a library of another day: it asks for the names that it
 * needs, and says so if one is missing. What a name means never changes; what is no more is left out. The format of the table
 * itself is told by its first word.
 */
#ifndef RN_SRC_LAYOUT_H
#define RN_SRC_LAYOUT_H

#include <stdint.h>

#define LAYOUT_OWNER "runnel"
enum { LAYOUT_NOTE = 1, LAYOUT_NAME = 24 };
#define LAYOUT_MAGIC UINT64_C(0x31304C454E4E5552) /* "RUNNEL01" */

/* value: the address of a variable, the offset of a field in its struct (struct.field), a size (struct.size), a constant. */
struct layout_entry {
    char name[LAYOUT_NAME];
    uint64_t value;
};

struct layout {
    uint64_t magic;
    uint64_t entry_size;
    struct layout_entry entry[]; /* the last one has no name */
};
extern const struct layout rn__layout;

#endif

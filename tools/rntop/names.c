/* SPDX-License-Identifier: MIT */
/*
 * names.c - addresses to text, by libdw (elfutils) where rntop was built with it: it finds the files of a process, their
 * symbols, and their debug information wherever that is kept. Without it an address is a file and an offset, which
 * addr2line understands.
 *
 * In a program linked with librunnel.a the library's functions are told by their names, but those that are not exported by
 * their source: it is in the folder where the library's other sources are.
 *
 * What was asked once is kept for good. A call that was inlined from one of runnel's headers is shown as the line of the
 * program that made it.
 */
#define _GNU_SOURCE
#include "names.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef RNTOP_LIBDW
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#endif

enum { HASH = 4096 };

struct name {
    struct name *next;
    uint64_t pc;
    bool is_call, known, library;
    char *text;
};

static struct name *hash[HASH];
static int target;
static unsigned view; /* counts views */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* "file+0xoffset", by the list of mappings. */
static bool by_mapping(uint64_t pc, char *text, size_t size)
{
    char name[64], line[4096 + 256];
    FILE *maps;
    bool found = false;

    snprintf(name, sizeof name, "/proc/%d/maps", target);
    maps = fopen(name, "re");
    if (!maps)
        return false;
    while (!found && fgets(line, sizeof line, maps)) {
        uint64_t from, to, offset;
        char path[4096] = "";

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*4s %" SCNx64 " %*s %*s %4095[^\n]", &from, &to,
                   &offset, path) == 4 &&
            pc >= from && pc < to) {
            snprintf(text, size, "%.200s+0x%" PRIx64, base_name(path), pc - from + offset);
            found = true;
        }
    }
    fclose(maps);
    return found;
}

#ifdef RNTOP_LIBDW
static Dwfl *dwfl;
static char *sources; /* the folder of the library's, with a slash at its end; NULL: not known */
static unsigned reported; /* in which view the files were listed last */

static void list_files(void)
{
    dwfl_report_begin(dwfl);
    dwfl_linux_proc_report(dwfl, target);
    dwfl_report_end(dwfl, NULL, NULL);
    reported = view;
}

static bool is_our_header(const char *path)
{
    const char *name = base_name(path);
    size_t n = strlen(name);

    return n > 2 && strcmp(name + n - 2, ".h") == 0 && name - path >= 7 &&
           strncmp(name - 7, "runnel/", 7) == 0;
}

/* The unit that address is in. clang makes no table of which unit has which addresses: then each is asked. */
static Dwarf_Die *unit_of(Dwfl_Module *module, uint64_t address, Dwarf_Addr *ret_bias)
{
    Dwarf_Die *unit = dwfl_module_addrdie(module, address, ret_bias);

    if (unit)
        return unit;
    while ((unit = dwfl_module_nextcu(module, unit, ret_bias)))
        if (dwarf_haspc(unit, address - *ret_bias) == 1)
            return unit;
    return NULL;
}

/* The source of the code at address; NULL: not known. */
static const char *source_of(Dwfl_Module *module, uint64_t address, int *ret_line)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = unit_of(module, address, &bias);
    Dwarf_Line *line = unit ? dwarf_getsrc_die(unit, address - bias) : NULL;

    if (!line || dwarf_lineno(line, ret_line) != 0)
        return NULL;
    return dwarf_linesrc(line, NULL, NULL);
}

/* The outermost call of a run of ours that were inlined at address; false: there is none. */
static bool inlined_from(Dwfl_Module *module, uint64_t address, const char **ret_file,
                         int *ret_line)
{
    Dwarf_Addr bias;
    Dwarf_Die *unit = unit_of(module, address, &bias), *scopes = NULL;
    Dwarf_Files *files;
    bool found = false;
    int n;

    if (!unit || dwarf_getsrcfiles(unit, &files, NULL) != 0)
        return false;
    n = dwarf_getscopes(unit, address - bias, &scopes);
    for (int i = 0; i < n; i++) {
        Dwarf_Attribute attribute;
        Dwarf_Word file, line;
        const char *path;

        if (dwarf_tag(&scopes[i]) != DW_TAG_inlined_subroutine)
            continue;
        if (!dwarf_attr(&scopes[i], DW_AT_call_file, &attribute) ||
            dwarf_formudata(&attribute, &file) != 0 ||
            !dwarf_attr(&scopes[i], DW_AT_call_line, &attribute) ||
            dwarf_formudata(&attribute, &line) != 0)
            break;
        path = dwarf_filesrc(files, file, NULL, NULL);
        if (!path)
            break;
        *ret_file = path;
        *ret_line = (int)line;
        found = true;
        if (!is_our_header(path))
            break;
    }
    free(scopes);
    return found;
}

static bool by_libdw(uint64_t pc, bool is_call, char *text, size_t size, bool *ret_library)
{
    uint64_t ask = is_call ? pc - 1 : pc;
    Dwfl_Module *module;
    const char *function, *file;
    int line = 0;

    if (!dwfl)
        return false;
    module = dwfl_addrmodule(dwfl, ask);
    if (!module && reported != view) {
        list_files();
        module = dwfl_addrmodule(dwfl, ask);
    }
    function = module ? dwfl_module_addrname(module, ask) : NULL;
    if (!function)
        return false;
    file = source_of(module, ask, &line);
    *ret_library = strncmp(function, "rn_", 3) == 0 ||
                   (file && sources && strncmp(file, sources, strlen(sources)) == 0);
    if (file && is_our_header(file))
        (void)inlined_from(module, ask, &file, &line);
    if (file && line > 0)
        snprintf(text, size, "%.150s at %.150s:%d", function, base_name(file), line);
    else
        snprintf(text, size, "%.200s", function);
    return true;
}
#else
static bool by_libdw(uint64_t pc, bool is_call, char *text, size_t size, bool *ret_library)
{
    (void)pc, (void)is_call, (void)text, (void)size, (void)ret_library;
    return false;
}
#endif

#ifdef RNTOP_LIBDW
/* library's source is in a folder beside those of the others. */
static void find_sources(uint64_t library)
{
    Dwfl_Module *module = dwfl_addrmodule(dwfl, library);
    int line;
    const char *file = module ? source_of(module, library, &line) : NULL;

    sources = file ? strdup(file) : NULL;
    for (int i = 0; i < 2 && sources; i++) {
        char *slash = strrchr(sources, '/');

        if (slash && i == 0)
            *slash = 0;
        else if (slash)
            slash[1] = 0;
        else {
            free(sources);
            sources = NULL;
        }
    }
}
#endif

void names_begin(int pid, uint64_t library)
{
    target = pid;
    (void)library;
#ifdef RNTOP_LIBDW
    static char *no_path;
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
                                             .find_debuginfo = dwfl_standard_find_debuginfo,
                                             .debuginfo_path = &no_path};

    unsetenv("DEBUGINFOD_URLS"); /* a view does not wait for a network */
    dwfl = dwfl_begin(&callbacks);
    if (dwfl) {
        list_files();
        find_sources(library);
    }
#endif
}

void names_refresh(void)
{
    view++;
    for (int i = 0; i < HASH; i++)
        for (struct name *n = hash[i]; n; n = n->next)
            if (!n->known) {
                free(n->text);
                n->text = NULL;
            }
}

static const struct name *name_of(uint64_t pc, bool is_call)
{
    struct name **head = &hash[(pc * 0x9E3779B97F4A7C15u) >> 52], *n;
    char text[400];

    for (n = *head; n && (n->pc != pc || n->is_call != is_call);)
        n = n->next;
    if (!n) {
        n = calloc(1, sizeof *n);
        if (!n)
            return NULL;
        n->pc = pc;
        n->is_call = is_call;
        n->next = *head;
        *head = n;
    }
    if (!n->text) {
        n->known = by_libdw(pc, is_call, text, sizeof text, &n->library) ||
                   by_mapping(pc, text, sizeof text);
        if (!n->known)
            snprintf(text, sizeof text, "0x%" PRIx64, pc);
        n->text = strdup(text);
    }
    return n;
}

const char *names_at(uint64_t pc, bool is_call)
{
    const struct name *n = pc ? name_of(pc, is_call) : NULL;

    return !n || !n->text ? "?" : n->text;
}

bool names_is_library(uint64_t pc)
{
    const struct name *n = name_of(pc, true);

    return n && n->library;
}

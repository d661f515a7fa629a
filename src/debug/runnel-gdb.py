# SPDX-License-Identifier: MIT
"""
runnel-gdb.py - goroutines in gdb, of a live process and of a core file.

    info goroutines            one line each: id, name, state, the function where it is
    goroutine ID CMD...        any gdb command in a goroutine's context: bt, bt full, frame apply 6 info locals ...
                               (a name in place of ID: each goroutine of that name)
    goroutine all CMD...       the same for each
    goroutine core FILE        gcore FILE, with the stacks: gcore itself stops reading at a stack's guard, and
                               leaves out what follows (cores that the kernel writes are whole)

gdb loads this by itself with librunnel if it lies beside the library under the library's name with
"-gdb.py" (where make install puts it), and by "source" else: always for a program that is linked with librunnel.a.

Rejected: a section .debug_gdb_scripts in librunnel.a. gdb would load from it only for programs in folders that it was told to
trust, and warn about all others.

How: where the library keeps what is told by its table (src/debug/layout.h), which an ELF note leads to, so that it needs no debug
information and no symbol of the library's; the program's own says functions, lines and locals. The control blocks
are found in the arenas, as src/debug/dump.c does it. A running goroutine is its
thread. For a parked one an unwinder says, while the command runs, that the caller of the selected thread's
innermost frame is the goroutine: its saved registers are read from its stack, none is written, so it works
on cores too. Frame 0 is therefore a stand-in, and the goroutine begins at frame 1; "goroutine ID bt" leaves
the stand-in out.
"""
import re
import struct

import gdb
from gdb.unwinder import Unwinder

MAGIC = 0x31304C454E4E5552 # LAYOUT_MAGIC

# Saved registers in struct arch_frame, by gdb's architecture: name, offset; then pc, sp, size.
LAYOUT = {
    "i386:x86-64": (
        [("r15", 0), ("r14", 8), ("r13", 16), ("r12", 24), ("rbx", 32), ("rbp", 40)],
        ("rip", 48), "rsp", 56),
    "aarch64": (
        [("x%d" % n, 64 + 8 * (n - 19)) for n in range(19, 29)] + [("x29", 144)],
        ("pc", 152), "sp", 160),
}


def who(name, labels):
    """A goroutine's name and labels as reports have them."""
    name = text(name)
    labels = text(labels + entry("labels.text")) if labels else ""
    return (' "%s"' % name if name else "") + (" {%s}" % labels if labels else "")


class Goroutine:
    def __init__(self, g, high):
        self.g, self.high = g, high
        self.id = number(g, "g.id", 8)
        self.who = who(g + entry("g.name"), number(g, "g.labels", 8))
        self.name = text(g + entry("g.name"))
        self.status = number(g, "g.status", 1)
        self.low = number(g, "g.stack_lo", 8)
        self.sp = number(g, "g.sp", 8)
        self.on_cpu = number(g, "g.on_cpu", 1) != 0

    def running(self):
        return self.status == entry("G_RUNNING")

    def state(self):
        if self.running():
            return "running"
        if self.status == entry("G_RUNNABLE"):
            return "runnable"
        return text(read_word(entry("rn__wait_text") + 8 * number(self.g, "g.why", 1)))

    def thread(self):
        """The thread whose stack pointer is on this goroutine's stack; None if it is off the CPU."""
        for thread in gdb.selected_inferior().threads():
            if self.low <= stack_pointer(thread) < self.high:
                return thread
        return None

    def saved_pc(self):
        pc = layout()[1]
        return read_word(self.sp + pc[1])


def LONG():
    return gdb.lookup_type("unsigned long")


def layout():
    name = gdb.selected_inferior().architecture().name() if hasattr(
        gdb.selected_inferior(), "architecture") else gdb.selected_frame().architecture().name()
    if name not in LAYOUT:
        raise gdb.GdbError("runnel: no layout known for %s" % name)
    return LAYOUT[name]


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def read_word(address, size=8):
    return int.from_bytes(read(address, size), "little")


def text(address):
    found = b""
    while len(found) < 256 and b"\0" not in found:
        found += read(address + len(found), 8)
    return found.split(b"\0")[0].decode(errors="replace")


entries = {} # the library's table, as of this command


def read_table():
    """The table of the library that is loaded, or of the program that it is linked into."""
    entries.clear()
    if not gdb.selected_inferior().pid: # 0 before the start and after the end; a core file has one
        raise gdb.GdbError("runnel: there is no process")
    for note in re.findall(r"(0x[0-9a-f]+) - 0x[0-9a-f]+ is \.note\.runnel\b", gdb.execute("info files", to_string=True)):
        try:
            at = int(note, 16) + 20 # behind its head and "runnel"
            at += int.from_bytes(read(at, 8), "little", signed=True)
            if read_word(at) != MAGIC:
                continue
            size = read_word(at + 8)
            at += 16
            while read(at, 1) != b"\0":
                name = read(at, size - 8).split(b"\0")[0].decode()
                entries[name] = read_word(at + size - 8)
                at += size
        except gdb.MemoryError: # not loaded yet
            entries.clear()
        if entries:
            return
    raise gdb.GdbError("runnel: librunnel is not loaded")


def entry(name):
    if name not in entries:
        raise gdb.GdbError("runnel: this librunnel does not say where %s is" % name)
    return entries[name]


def number(address, field, size):
    return read_word(address + entry(field), size)


def runtime():
    """The address of the runtime, with the table read; 0 if there is none."""
    read_table()
    at = entry("rn__rt") # 0 in a program that has not begun
    return read_word(at) if at else 0


pointers = {}  # by thread number; valid while the process stands still


def stack_pointer(thread):
    if thread.num not in pointers:
        was = gdb.selected_thread()
        try:
            thread.switch()
            pointers[thread.num] = int(gdb.newest_frame().read_register(layout()[2]).cast(LONG()))
        except gdb.error:
            return 0
        finally:
            if was is not None:
                was.switch()
    return pointers[thread.num]


def goroutines():
    """All that have a stack, by id; records that have not run yet are not among them."""
    pointers.clear()
    rt = runtime()
    found = []
    arena = number(rt, "rt.arenas", 8) if rt else 0
    while arena:
        base, size = number(arena, "arena.base", 8), number(arena, "arena.stride", 8)
        for i in range(number(arena, "arena.carved", 4)):
            high = base + (i + 1) * size
            g = Goroutine(high - entry("G_ROOM"), high)
            if g.id and g.status not in (entry("G_FREE"), entry("G_DEAD")):
                found.append(g)
        arena = number(arena, "arena.next", 8)
    return sorted(found, key=lambda g: g.id)


def records():
    """Started goroutines that have not run yet, by id: id, name and labels, function."""
    rt = runtime()
    found = []
    slab = number(rt, "rt.slabs", 8) if rt else 0
    while slab:
        for i in range(entry("SLAB_RECORDS")):
            f = slab + entry("slab.record") + i * entry("fresh.size")
            if number(f, "fresh.in_use", 4):
                found.append((number(f, "fresh.id", 8), 
                              who(f + entry("fresh.name"), number(f, "fresh.labels", 8)), number(f, "fresh.fn", 8)))
        slab = number(slab, "slab.next", 8)
    return sorted(found)


def functions_at(pc):
    """The functions that a code address belongs to: those inlined there from inside out, then the one that they are inlined
    into. None without debug information."""
    found = []
    try:
        block = gdb.block_for_pc(pc)
    except RuntimeError:
        return found
    while block and not block.is_static and not block.is_global:
        if block.function:
            found.append(block.function)
        block = block.superblock
    return found


def where(pc, is_call):
    """Function and line of a code address. Of calls that are inlined there: the innermost that is not the library's."""
    pc -= 1 if is_call else 0 # a return address may be another line's, and another function's
    functions = functions_at(pc)
    if not functions:
        return gdb.execute("info symbol %d" % pc, to_string=True).split(" ")[0]
    at = gdb.find_pc_line(pc)
    file, line = at.symtab, at.line
    while len(functions) > 1 and functions[0].name.startswith("rn_"):
        inlined = functions.pop(0)
        file, line = inlined.symtab, inlined.line # of such a function's symbol they are those of the call
    if not file:
        return "%s at %s" % (functions[0].name, functions[0].symtab.filename)
    return "%s at %s:%d" % (functions[0].name, file.filename, line)


def is_internal(pc):
    """A function of the library's, linked as a shared or the static one."""
    if "librunnel.so" in (gdb.solib_name(pc) or ""):
        return True
    functions = functions_at(pc - 1)
    if not functions:
        return gdb.execute("info symbol %d" % (pc - 1), to_string=True).startswith("rn_")
    function = functions[-1]
    return function.name.startswith("rn_") or bool(
        re.search(r"(^|/)src/(sched|chan|sync|ctx|group|time|base)/", function.symtab.filename))


def first_of_the_program(g):
    """The innermost return address outside the library, by frame pointers."""
    registers, pc, _, _ = layout()
    at = g.saved_pc()
    fp = read_word(g.sp + registers[-1][1])
    for _ in range(40):
        if not is_internal(at):
            return at
        if not g.low <= fp < g.high - 16:
            break
        fp, at = read_word(fp), read_word(fp + 8)
        if at == 0:
            break
    return g.saved_pc()


class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class ParkedUnwinder(Unwinder):
    """While a goroutine is set: the caller of frame 0 is that goroutine, where it parked."""

    def __init__(self):
        super().__init__("runnel")
        self.goroutine = None

    def __call__(self, pending):
        g = self.goroutine
        if g is None:
            return None
        registers, pc, sp, size = layout()
        here = int(pending.read_register(sp).cast(LONG()))
        if g.low <= here < g.high:
            return None
        info = pending.create_unwind_info(FrameId(gdb.Value(here), pending.read_register(pc[0])))
        word = LONG()
        for name, offset in registers + [pc]:
            info.add_saved_register(name, gdb.Value(read_word(g.sp + offset)).cast(word))
        info.add_saved_register(sp, gdb.Value(g.sp + size).cast(word))
        return info


unwinder = ParkedUnwinder()
gdb.unwinder.register_unwinder(None, unwinder, replace=True)


def in_goroutine(g, command):
    """Run a gdb command as if the goroutine were the selected thread."""
    was_thread = gdb.selected_thread()
    thread = g.thread()
    if thread is not None:
        thread.switch()
        gdb.execute(command)
        if was_thread is not None:
            was_thread.switch()
        return
    if g.on_cpu or g.running():
        print("  (on a CPU, but on no thread's stack: it is just being switched)")
        return
    unwinder.goroutine = g
    try:
        gdb.invalidate_cached_frames()
        frame = gdb.newest_frame().older()
        if frame is None:
            raise gdb.GdbError("runnel: goroutine %d cannot be unwound" % g.id)
        frame.select()
        if command.split(" ")[0] in ("bt", "backtrace", "where"):
            text = gdb.execute(command, to_string=True)
            # Frame 0 is the thread's; the goroutine begins behind it.
            parts = re.split(r"(?m)^(?=#\d+ )", text)
            print("".join(p for p in parts if not p.startswith("#0 ")), end="")
        else:
            gdb.execute(command)
    finally:
        unwinder.goroutine = None
        gdb.invalidate_cached_frames()


def add_stacks(path):
    """Write the used part of each stack into a core file that gcore made of this process."""
    with open(path, "r+b") as core:
        head = core.read(64)
        (at,), (size, count) = struct.unpack_from("<Q", head, 32), struct.unpack_from("<HH", head, 54)
        loads = []
        for i in range(count):
            core.seek(at + i * size)
            kind, _, offset, address, _, in_file = struct.unpack_from("<IIQQQQ", core.read(size))
            if kind == 1:
                loads.append((address, in_file, offset))
        for g in goroutines():
            thread = g.thread()
            page = (stack_pointer(thread) if thread else g.sp) & ~4095
            while page < g.high:
                for address, in_file, offset in loads:
                    if address <= page < address + in_file:
                        core.seek(offset + page - address)
                        core.write(bytes(gdb.selected_inferior().read_memory(page, 4096)))
                page += 4096


class InfoGoroutines(gdb.Command):
    """List all goroutines: id, name, labels, state, the function where each is."""

    def __init__(self):
        super().__init__("info goroutines", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        ids = set()
        for g in goroutines():
            ids.add(g.id)
            place = ""
            thread = g.thread()
            if thread is None and not g.on_cpu:
                place = where(first_of_the_program(g), True)
            elif thread is not None:
                place = "thread %d" % thread.num
            print("%6d%s [%s] %s" % (g.id, g.who, g.state(), place))
        for id_, named, function in records():
            if id_ not in ids:
                print("%6d%s [runnable] %s" % (id_, named, where(function, False)))


class GoroutineCommand(gdb.Command):
    """goroutine ID COMMAND, goroutine all COMMAND: run a gdb command in a goroutine's context.

Example: goroutine 12 bt. Of a parked goroutine frame 0 is a stand-in, so its first own frame is 1."""

    def __init__(self):
        super().__init__("goroutine", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if not words:
            raise gdb.GdbError("goroutine ID COMMAND, or goroutine all COMMAND")
        command = words[1] if len(words) > 1 else "bt"
        if words[0] == "core":
            read_table()
            path = words[1] if len(words) > 1 else "core.%d" % gdb.selected_inferior().pid
            gdb.execute("gcore " + path, to_string=True)
            add_stacks(path)
            print("Saved corefile %s with the stacks of goroutines" % path)
            return
        every = goroutines()
        if words[0] != "all":
            every = [g for g in every if words[0] in (str(g.id), g.name)]
            if not every:
                raise gdb.GdbError("no goroutine %s with a stack" % words[0])
        for g in every:
            print("goroutine %d%s [%s]:" % (g.id, g.who, g.state()))
            in_goroutine(g, command)
            if words[0] == "all":
                print()


InfoGoroutines()
GoroutineCommand()

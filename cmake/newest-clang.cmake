# SPDX-License-Identifier: MIT
#
# A toolchain file for the sanitizer presets: the newest clang there is, else the default compiler.
# ThreadSanitizer of gcc 12 works too, but is slow to make a goroutine and ends at 8128 live ones.
# CMAKE_C_COMPILER and CC win.

if(NOT DEFINED CMAKE_C_COMPILER AND NOT DEFINED ENV{CC})
    find_program(RUNNEL_NEWEST_CLANG
        NAMES clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang)
    mark_as_advanced(RUNNEL_NEWEST_CLANG)
    if(RUNNEL_NEWEST_CLANG)
        set(CMAKE_C_COMPILER ${RUNNEL_NEWEST_CLANG})
    endif()
endif()

# SPDX-License-Identifier: MIT
#
# Helpers for the subdirectories tests/, examples/ and bench/. Programs are built as a careful user
# would build them: strict C11 with warnings as errors, and with the sanitizer under test.
#
#   runnel_program(NAME source... [options])          an executable, no test
#   runnel_test_program(NAME source... [options])     an executable and a CTest of the same name
#   runnel_example(NAME "title" source... [options])  an executable that ./dev demo runs and shows
#
# Options of all three:
#   CHECK              link libcheck; the program is left out, with a message, where it is missing
#   STATIC             link runnel::static instead of runnel::runnel
#   LIBS lib...        link these too
#   INCLUDES dir...    more include directories
#   FLAGS flag...      more compiler flags, after the strict ones
#   STD n              the C standard, 11 if absent
#   UNINSTRUMENTED     leave the sanitizer flags out
# Options of runnel_test_program:
#   ARGS arg...        arguments of the test run
#   ENV NAME=VALUE...  environment of the test run
#   TIMEOUT seconds    120 if absent; three times as many under a sanitizer or qemu, five times
#                      under valgrind
#   LABELS label...    see below
#   WILL_FAIL          the program must exit non-zero
#   SERIAL             run alone (for tests that measure time)
# Options of runnel_example:
#   ARGS arg...        arguments for ./dev demo
#   NO_DEMO            build it, but ./dev demo leaves it out
#
# RUNNEL_HAVE_CHECK says whether libcheck is there, PkgConfig::RUNNEL_CHECK is its target: for a
# program that can do without.
#
# Labels with a meaning for ./dev test:
#   qemu               also run on aarch64 under qemu
#   valgrind           also run under valgrind, as a test named NAME.valgrind
#   no-asan, no-tsan, no-ubsan, no-sanitizer    left out of those runs
#   compile            about what the compiler accepts; not repeated under sanitizers
#   stress             long; left out of ./dev test, run by ./dev stress

include_guard(GLOBAL)
enable_testing()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/results)

set(RUNNEL_STRICT_FLAGS -Wall -Wextra -Wshadow -Wconversion -Wpedantic -Werror)

set(RUNNEL_SANITIZER_FLAGS)
if(RUNNEL_TEST_SANITIZE STREQUAL "address")
    set(RUNNEL_SANITIZER_FLAGS -fsanitize=address -fno-omit-frame-pointer)
elseif(RUNNEL_TEST_SANITIZE STREQUAL "thread")
    set(RUNNEL_SANITIZER_FLAGS -fsanitize=thread -fno-omit-frame-pointer)
elseif(RUNNEL_TEST_SANITIZE STREQUAL "undefined")
    set(RUNNEL_SANITIZER_FLAGS -fsanitize=undefined -fno-sanitize-recover=all
                               -fno-omit-frame-pointer)
elseif(RUNNEL_TEST_SANITIZE)
    message(FATAL_ERROR "RUNNEL_TEST_SANITIZE is address, thread, undefined or empty, "
                        "not '${RUNNEL_TEST_SANITIZE}'")
endif()

# libcheck, once. A cross build has no business with the libcheck of the build machine.
set(RUNNEL_HAVE_CHECK FALSE)
if(NOT CMAKE_CROSSCOMPILING)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
        pkg_check_modules(RUNNEL_CHECK QUIET IMPORTED_TARGET check)
        set(RUNNEL_HAVE_CHECK ${RUNNEL_CHECK_FOUND})
    endif()
    find_program(RUNNEL_VALGRIND valgrind)
endif()

set(RUNNEL__PROGRAM_SWITCHES CHECK STATIC UNINSTRUMENTED WILL_FAIL SERIAL NO_DEMO)
set(RUNNEL__PROGRAM_VALUES STD TIMEOUT)
set(RUNNEL__PROGRAM_LISTS LIBS INCLUDES FLAGS ARGS ENV LABELS)

# The part the three have in common. Sets made to whether there is a target.
function(runnel__add_program made name)
    cmake_parse_arguments(A "${RUNNEL__PROGRAM_SWITCHES}" "${RUNNEL__PROGRAM_VALUES}"
                          "${RUNNEL__PROGRAM_LISTS}" ${ARGN})
    set(${made} FALSE PARENT_SCOPE)
    if(A_CHECK AND NOT RUNNEL_HAVE_CHECK)
        if(NOT CMAKE_CROSSCOMPILING)
            message(STATUS "runnel: ${name} left out: libcheck was not found (Debian: check)")
        endif()
        return()
    endif()
    if(NOT A_UNPARSED_ARGUMENTS)
        message(FATAL_ERROR "${name}: no sources")
    endif()
    if(NOT A_STD)
        set(A_STD 11)
    endif()

    add_executable(${name} ${A_UNPARSED_ARGUMENTS})
    set_target_properties(${name} PROPERTIES C_STANDARD ${A_STD} C_STANDARD_REQUIRED ON
                                             C_EXTENSIONS OFF)
    # assert() is a test's own instrument: a release build must not switch it off.
    target_compile_options(${name} PRIVATE -g -UNDEBUG ${RUNNEL_STRICT_FLAGS} ${A_FLAGS})
    target_include_directories(${name} PRIVATE ${A_INCLUDES})
    if(NOT A_UNINSTRUMENTED)
        target_compile_options(${name} PRIVATE ${RUNNEL_SANITIZER_FLAGS})
        target_link_options(${name} PRIVATE ${RUNNEL_SANITIZER_FLAGS})
    endif()
    if(A_STATIC)
        target_link_libraries(${name} PRIVATE runnel::static)
    else()
        target_link_libraries(${name} PRIVATE runnel::runnel)
    endif()
    target_link_libraries(${name} PRIVATE ${A_LIBS} Threads::Threads)
    if(A_CHECK)
        target_link_libraries(${name} PRIVATE PkgConfig::RUNNEL_CHECK)
    endif()
    set(${made} TRUE PARENT_SCOPE)
endfunction()

function(runnel_program name)
    runnel__add_program(made ${name} ${ARGN})
endfunction()

function(runnel_test_program name)
    runnel__add_program(made ${name} ${ARGN})
    if(NOT made)
        return()
    endif()
    cmake_parse_arguments(A "${RUNNEL__PROGRAM_SWITCHES}" "${RUNNEL__PROGRAM_VALUES}"
                          "${RUNNEL__PROGRAM_LISTS}" ${ARGN})
    if(NOT A_TIMEOUT)
        set(A_TIMEOUT 120)
    endif()
    # Times are meant for an uninstrumented program on its own CPU.
    if(RUNNEL_TEST_SANITIZE OR CMAKE_CROSSCOMPILING)
        math(EXPR A_TIMEOUT "${A_TIMEOUT} * 3")
    endif()
    # A line for each test of the program, for tests/conformance.
    set(results ${PROJECT_BINARY_DIR}/results)
    set(env ${A_ENV} RUNNEL_TEST_RESULTS=${results}/${name}.txt)
    # Lack of memory is a result also where malloc is a sanitizer's.
    if(RUNNEL_TEST_SANITIZE STREQUAL "address")
        list(APPEND env ASAN_OPTIONS=allocator_may_return_null=1)
    elseif(RUNNEL_TEST_SANITIZE STREQUAL "thread")
        list(APPEND env TSAN_OPTIONS=allocator_may_return_null=1)
    endif()
    # UBSan without a stack is hard to act on; the others print one anyway.
    if(RUNNEL_TEST_SANITIZE STREQUAL "undefined")
        list(APPEND env UBSAN_OPTIONS=print_stacktrace=1:handle_segv=0)
    endif()

    set(under_valgrind FALSE)
    if("valgrind" IN_LIST A_LABELS)
        list(REMOVE_ITEM A_LABELS valgrind)
        if(RUNNEL_VALGRIND AND NOT RUNNEL_TEST_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
            set(under_valgrind TRUE)
        endif()
    endif()

    add_test(NAME ${name} COMMAND ${name} ${A_ARGS})
    set(tests ${name})
    if(under_valgrind)
        add_test(NAME ${name}.valgrind
                 COMMAND ${RUNNEL_VALGRIND} --quiet --error-exitcode=99 --leak-check=no
                         --fair-sched=try $<TARGET_FILE:${name}> ${A_ARGS})
        list(APPEND tests ${name}.valgrind)
    endif()
    set_tests_properties(${tests} PROPERTIES
        TIMEOUT ${A_TIMEOUT}
        LABELS "${A_LABELS}"
        ENVIRONMENT "${env}"
        WILL_FAIL ${A_WILL_FAIL}
        RUN_SERIAL ${A_SERIAL})
    if(under_valgrind)
        math(EXPR slow "${A_TIMEOUT} * 5")
        set_tests_properties(${name}.valgrind PROPERTIES LABELS valgrind TIMEOUT ${slow}
                             ENVIRONMENT "${A_ENV};RUNNEL_TEST_RESULTS=${results}/${name}.valgrind.txt")
    endif()
endfunction()

function(runnel_example name title)
    runnel__add_program(made ${name} ${ARGN})
    if(NOT made)
        return()
    endif()
    cmake_parse_arguments(A "${RUNNEL__PROGRAM_SWITCHES}" "${RUNNEL__PROGRAM_VALUES}"
                          "${RUNNEL__PROGRAM_LISTS}" ${ARGN})
    if(NOT A_NO_DEMO)
        # One line an example, for ./dev demo: path, title and arguments, apart by tabs.
        string(JOIN " " args ${A_ARGS})
        set_property(GLOBAL APPEND_STRING PROPERTY RUNNEL_EXAMPLE_LIST
                     "$<TARGET_FILE:${name}>\t${title}\t${args}\n")
    endif()
endfunction()

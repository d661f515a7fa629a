# SPDX-License-Identifier: MIT
#
# The optional parts: libraries beside librunnel, each of which may need another library, so that the core
# needs libc alone. A part NAME is
#
#   src/FOLDER/                 its sources
#   src/FOLDER/FOLDER.map       its exported symbols, made by ./dev symbols
#   include/runnel/FOLDER.h     its header, which needs no header but runnel's own and libc's
#   librunnel-NAME, runnel-NAME.pc, runnel::NAME, RUNNEL_NAME (option), RUNNEL_HAVE_NAME (result)
#
# where FOLDER is NAME, unless the core has that name already.
#
# runnel_part(NAME "what it is"
#             [FOLDER folder]
#             [REQUIRES module...]     pkg-config modules that it is linked with
#             [PARTS part...]          other parts that it builds on
#             [PACKAGES package...]    what Debian calls what REQUIRES names, for the message
#             [INCLUDES dir...] [SOURCES file...])    more of its own

set(RUNNEL_PARTS) # those that are built
set(RUNNEL_PART_FOLDERS) # theirs, in the same order

function(runnel_part name what)
    cmake_parse_arguments(A "" "FOLDER" "REQUIRES;PARTS;PACKAGES;INCLUDES;SOURCES" ${ARGN})
    string(TOUPPER ${name} upper)
    set(folder ${name})
    if(A_FOLDER)
        set(folder ${A_FOLDER})
    endif()
    option(RUNNEL_${upper} "Build librunnel-${name} (${what}) if what it needs is found" ON)
    set(RUNNEL_HAVE_${upper} FALSE PARENT_SCOPE)
    if(NOT RUNNEL_${upper})
        return()
    endif()
    set(missing)
    foreach(part IN LISTS A_PARTS)
        if(NOT part IN_LIST RUNNEL_PARTS)
            list(APPEND missing librunnel-${part})
        endif()
    endforeach()
    if(A_REQUIRES)
        # A cross build has no business with the libraries of the build machine.
        if(NOT CMAKE_CROSSCOMPILING)
            find_package(PkgConfig QUIET)
        endif()
        if(PkgConfig_FOUND)
            pkg_check_modules(RUNNEL_NEEDS_${upper} QUIET IMPORTED_TARGET ${A_REQUIRES})
        endif()
        if(NOT RUNNEL_NEEDS_${upper}_FOUND)
            list(APPEND missing ${A_REQUIRES})
        endif()
    endif()
    if(missing)
        list(JOIN missing ", " missing)
        set(hint)
        if(A_PACKAGES)
            list(JOIN A_PACKAGES " " hint)
            set(hint " (Debian: ${hint})")
        endif()
        message(STATUS "runnel: no librunnel-${name}, ${what}: not found: ${missing}${hint}")
        return()
    endif()

    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${folder}/*.c)
    set(target runnel_${name})
    set(map ${PROJECT_SOURCE_DIR}/src/${folder}/${folder}.map)
    add_library(${target} SHARED ${sources} ${A_SOURCES})
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME runnel-${name} EXPORT_NAME ${name}
        VERSION ${PROJECT_VERSION} SOVERSION 0
        C_STANDARD 17 C_STANDARD_REQUIRED ON C_EXTENSIONS ON C_VISIBILITY_PRESET hidden
        LINK_DEPENDS ${map})
    target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:C>:${runnel_flags};${runnel_warnings}>")
    target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src ${A_INCLUDES})
    target_link_options(${target} PRIVATE LINKER:--version-script=${map}
                        LINKER:-z,defs LINKER:-z,noexecstack)
    target_link_libraries(${target} PUBLIC runnel PRIVATE Threads::Threads)
    if(A_REQUIRES)
        target_link_libraries(${target} PRIVATE PkgConfig::RUNNEL_NEEDS_${upper})
    endif()
    foreach(part IN LISTS A_PARTS)
        target_link_libraries(${target} PUBLIC runnel_${part})
    endforeach()
    add_library(runnel::${name} ALIAS ${target})
    set_property(TARGET ${target} PROPERTY RUNNEL_WHAT "${what}")
    set_property(TARGET ${target} PROPERTY RUNNEL_PART_REQUIRES "${A_REQUIRES}")
    set_property(TARGET ${target} PROPERTY RUNNEL_PART_PARTS "${A_PARTS}")
    set(RUNNEL_HAVE_${upper} TRUE PARENT_SCOPE)
    set(RUNNEL_PARTS ${RUNNEL_PARTS} ${name} PARENT_SCOPE)
    set(RUNNEL_PART_FOLDERS ${RUNNEL_PART_FOLDERS} ${folder} PARENT_SCOPE)
endfunction()

# ---- The parts, a part after those it builds on ----------------------------------------------------

# llhttp is somebody else's: compiled into the part, without warnings. See third_party/llhttp.
file(GLOB llhttp_sources ${PROJECT_SOURCE_DIR}/third_party/llhttp/src/*.c)
set_source_files_properties(${llhttp_sources} PROPERTIES COMPILE_OPTIONS -w)
runnel_part(httpd "an HTTP server"
            INCLUDES ${PROJECT_SOURCE_DIR}/third_party/llhttp/include SOURCES ${llhttp_sources})

# Of the core's debug/ there is a header already.
runnel_part(debug "pages that show what the goroutines do" FOLDER debugpage PARTS httpd)

runnel_part(tls "TLS for runnel's connections, by OpenSSL"
    REQUIRES openssl>=3.0 PACKAGES libssl-dev)

runnel_part(dns "names by DNS, for runnel's programs, by c-ares"
    REQUIRES libcares>=1.18 PACKAGES libc-ares-dev)
if(RUNNEL_HAVE_DNS)
    # A program that only dials refers to nothing in it.
    target_link_options(runnel_dns INTERFACE LINKER:--no-as-needed)
endif()

# curl 7.88: what 7.87 and 7.88 brought is used (CURLOPT_QUICK_EXIT, CURLU_PUNYCODE). Its TLS must be OpenSSL's, which
# the part looks at when it starts.
runnel_part(http "an HTTP client, by libcurl"
    REQUIRES libcurl>=7.88 openssl>=3.0 PACKAGES libcurl4-openssl-dev libssl-dev)

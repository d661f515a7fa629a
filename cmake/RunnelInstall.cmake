# SPDX-License-Identifier: MIT
#
# make install: the two libraries, rntop, the optional parts that were built, the headers, a .pc file each and
# the CMake package, from which find_package(runnel) gives runnel::runnel, runnel::static and the parts,
# which may also be asked for as its COMPONENTS.

include(CMakePackageConfigHelpers)

set(runnel_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/runnel)

install(TARGETS runnel runnel_static EXPORT runnel-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
# Where gdb looks for what it loads by itself; trusted if the prefix is /usr. The folder has the library's in its name, which
# is known for good when the prefix is: cmake --install may be given another one.
install(CODE "
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    get_filename_component(libdir \"${CMAKE_INSTALL_LIBDIR}\" ABSOLUTE BASE_DIR \"\${prefix}\")
    get_filename_component(datadir \"${CMAKE_INSTALL_DATADIR}\" ABSOLUTE BASE_DIR \"\${prefix}\")
    file(INSTALL DESTINATION \"\${datadir}/gdb/auto-load\${libdir}\" TYPE FILE
         RENAME librunnel.so.${PROJECT_VERSION}-gdb.py
         FILES \"${PROJECT_SOURCE_DIR}/src/debug/runnel-gdb.py\")
")
if(RUNNEL_TOOLS)
    install(TARGETS rntop RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(RUNNEL_HAVE_SYMBOLS)
    install(TARGETS runnel_symbols EXPORT runnel-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(TARGETS runnel_locks EXPORT runnel-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/runnel.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# A part's header comes with the part.
file(GLOB runnel_headers CONFIGURE_DEPENDS include/runnel/*.h)
foreach(dir IN LISTS runnel_part_dirs)
    if(NOT dir IN_LIST RUNNEL_PART_FOLDERS)
        list(FILTER runnel_headers EXCLUDE REGEX "/include/runnel/${dir}\\.h$")
    endif()
endforeach()
install(FILES ${runnel_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/runnel)
foreach(part IN LISTS RUNNEL_PARTS)
    install(TARGETS runnel_${part} EXPORT runnel-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endforeach()

install(EXPORT runnel-targets NAMESPACE runnel:: DESTINATION ${runnel_cmake_dir})
list(JOIN RUNNEL_PARTS " " runnel_part_words)
configure_package_config_file(cmake/runnel-config.cmake.in
    ${PROJECT_BINARY_DIR}/runnel-config.cmake INSTALL_DESTINATION ${runnel_cmake_dir})
# Before 1.0 a new minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/runnel-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/runnel-config.cmake
              ${PROJECT_BINARY_DIR}/runnel-config-version.cmake
        DESTINATION ${runnel_cmake_dir})

# A .pc file is made when the prefix is known for good: cmake --install may be given another one.
function(runnel_install_pc name template)
    configure_file(${template} ${PROJECT_BINARY_DIR}/${name}.pc.in @ONLY)
    install(CODE "
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    get_filename_component(libdir \"${CMAKE_INSTALL_LIBDIR}\" ABSOLUTE BASE_DIR \"\${prefix}\")
    get_filename_component(includedir \"${CMAKE_INSTALL_INCLUDEDIR}\" ABSOLUTE
                           BASE_DIR \"\${prefix}\")
    file(READ \"${PROJECT_BINARY_DIR}/${name}.pc.in\" text)
    string(REPLACE \"<prefix>\" \"\${prefix}\" text \"\${text}\")
    string(REPLACE \"<libdir>\" \"\${libdir}\" text \"\${text}\")
    string(REPLACE \"<includedir>\" \"\${includedir}\" text \"\${text}\")
    file(WRITE \"${PROJECT_BINARY_DIR}/${name}.pc\" \"\${text}\")
")
    install(FILES ${PROJECT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
runnel_install_pc(runnel runnel.pc.in)
foreach(part IN LISTS RUNNEL_PARTS)
    get_target_property(part_what runnel_${part} RUNNEL_WHAT)
    get_target_property(part_needs runnel_${part} RUNNEL_PART_REQUIRES)
    get_target_property(part_parts runnel_${part} RUNNEL_PART_PARTS)
    list(TRANSFORM part_parts PREPEND runnel-)
    list(JOIN part_needs ", " part_needs)
    string(REGEX REPLACE "([<>=]+)" " \\1 " part_needs "${part_needs}")
    list(PREPEND part_parts "runnel = ${PROJECT_VERSION}")
    list(JOIN part_parts ", " part_parts)
    runnel_install_pc(runnel-${part} cmake/part.pc.in)
endforeach()

# SPDX-License-Identifier: MIT
#
# make install: the two libraries, the headers, runnel.pc and the CMake package, from which
# find_package(runnel) gives runnel::runnel and runnel::static.

include(CMakePackageConfigHelpers)

set(runnel_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/runnel)

install(TARGETS runnel runnel_static EXPORT runnel-targets
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
# Where gdb looks for what it loads by itself; trusted if the prefix is /usr.
install(FILES src/debug/runnel-gdb.py
    DESTINATION ${CMAKE_INSTALL_DATADIR}/gdb/auto-load/${CMAKE_INSTALL_FULL_LIBDIR}
    RENAME librunnel.so.${PROJECT_VERSION}-gdb.py)
if(RUNNEL_HAVE_SYMBOLS)
    install(TARGETS runnel_symbols EXPORT runnel-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
install(FILES include/runnel.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY include/runnel DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h")

install(EXPORT runnel-targets NAMESPACE runnel:: DESTINATION ${runnel_cmake_dir})
configure_package_config_file(cmake/runnel-config.cmake.in
    ${PROJECT_BINARY_DIR}/runnel-config.cmake INSTALL_DESTINATION ${runnel_cmake_dir})
# Before 1.0 a new minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/runnel-config-version.cmake
    COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/runnel-config.cmake
              ${PROJECT_BINARY_DIR}/runnel-config-version.cmake
        DESTINATION ${runnel_cmake_dir})

# runnel.pc is made when the prefix is known for good: cmake --install may be given another one.
configure_file(runnel.pc.in ${PROJECT_BINARY_DIR}/runnel.pc.in @ONLY)
install(CODE "
    get_filename_component(prefix \"\${CMAKE_INSTALL_PREFIX}\" ABSOLUTE)
    get_filename_component(libdir \"${CMAKE_INSTALL_LIBDIR}\" ABSOLUTE BASE_DIR \"\${prefix}\")
    get_filename_component(includedir \"${CMAKE_INSTALL_INCLUDEDIR}\" ABSOLUTE
                           BASE_DIR \"\${prefix}\")
    file(READ \"${PROJECT_BINARY_DIR}/runnel.pc.in\" text)
    string(REPLACE \"<prefix>\" \"\${prefix}\" text \"\${text}\")
    string(REPLACE \"<libdir>\" \"\${libdir}\" text \"\${text}\")
    string(REPLACE \"<includedir>\" \"\${includedir}\" text \"\${text}\")
    file(WRITE \"${PROJECT_BINARY_DIR}/runnel.pc\" \"\${text}\")
")
install(FILES ${PROJECT_BINARY_DIR}/runnel.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

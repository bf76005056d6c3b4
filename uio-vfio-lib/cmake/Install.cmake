# SPDX-License-Identifier: MIT
# The package that `cmake --install` makes (component uiovfio): for CMake's find_package(uiovfio) and for pkg-config.
#   uiovfio::uiovfio   the library
#   uiovfio::asio      with what uiovfio/asio.hpp and asio_hybrid.hpp need: Boost
#   uiovfio::pcienic   the pcienic's driver and registers
# The same names serve within the build: examples/ is written once for both, and so is a project that has this one in a
# subdirectory.
include(CMakePackageConfigHelpers)

add_library(uiovfio_asio INTERFACE)
target_link_libraries(uiovfio_asio INTERFACE uiovfio $<INSTALL_INTERFACE:Boost::headers>)
if(TARGET Boost::headers)
  target_link_libraries(uiovfio_asio INTERFACE $<BUILD_INTERFACE:Boost::headers>)
endif()
add_library(uiovfio::uiovfio ALIAS uiovfio)
add_library(uiovfio::asio ALIAS uiovfio_asio)
add_library(uiovfio::pcienic ALIAS pcienic_driver)

set_target_properties(uiovfio_asio PROPERTIES EXPORT_NAME asio)
set_target_properties(pcienic_driver PROPERTIES EXPORT_NAME pcienic)
set_target_properties(pcienic_core PROPERTIES EXPORT_NAME core)
set_target_properties(pcienic_regs_c PROPERTIES EXPORT_NAME registers_c)
set_target_properties(pcienic_regs_cpp PROPERTIES EXPORT_NAME registers)
# Said here, because what our own sources are compiled with is not exported.
target_compile_features(uiovfio INTERFACE cxx_std_20)
# In another's project; uiovfioConfig.cmake has it for the installed library.
option(UIOVFIO_CHECKED "Accesses beyond a window stop the program: uiovfio/checked.hpp" OFF)
if(UIOVFIO_CHECKED)
  target_compile_definitions(uiovfio INTERFACE $<BUILD_INTERFACE:UIOVFIO_CHECKED>)
endif()
if(NOT PCIENIC_INSTALL)
  return()
endif()

foreach(target IN ITEMS uiovfio pcienic_driver pcienic_regs_cpp)
  target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/uiovfio)
set(targets uiovfio pcienic_driver pcienic_regs_cpp)
if(NOT BUILD_SHARED_LIBS)
  list(APPEND targets pcienic_core pcienic_regs_c)  # else they are inside
endif()
install(TARGETS ${targets} EXPORT uiovfioTargets COMPONENT uiovfio)
install(TARGETS uiovfio_asio EXPORT uiovfioAsioTargets COMPONENT uiovfio)
foreach(export IN ITEMS uiovfioTargets uiovfioAsioTargets)
  install(EXPORT ${export} NAMESPACE uiovfio:: DESTINATION ${package_dir} COMPONENT uiovfio)
endforeach()
install(DIRECTORY include/uiovfio drivers/pcienic/include/pcienic DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        COMPONENT uiovfio FILES_MATCHING PATTERN "*.hpp")
install(FILES ${PCIENIC_GENERATED_DIR}/pcienic/registers.hpp ${PCIENIC_GENERATED_DIR}/pcienic/register_table.hpp
        DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/pcienic COMPONENT uiovfio)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSES/MIT.txt DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/uiovfio
        COMPONENT uiovfio)

configure_package_config_file(cmake/uiovfioConfig.cmake.in ${CMAKE_CURRENT_BINARY_DIR}/uiovfioConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/uiovfioConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/uiovfioConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/uiovfioConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT uiovfio)

# Where the package lies is for pkg-config to find out (pcfiledir), so that it can be moved.
file(RELATIVE_PATH UIOVFIO_PREFIX_FROM_PC ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
set(UIOVFIO_PC_LIBS "-L\${libdir} -lpcienic_driver -luiovfio")
if(BUILD_SHARED_LIBS)
  set(UIOVFIO_PC_REQUIRES "Requires.private: fmt")
else()
  string(APPEND UIOVFIO_PC_LIBS " -lpcienic_core -pthread")
  set(UIOVFIO_PC_REQUIRES "Requires: fmt")
endif()
configure_file(cmake/uiovfio.pc.in ${CMAKE_CURRENT_BINARY_DIR}/uiovfio.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/uiovfio.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT uiovfio)

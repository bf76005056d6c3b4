# SPDX-License-Identifier: MIT
# What is generated from qemu-device/registers/pcienic.yaml, into ${PROJECT_BINARY_DIR}/generated:
#   pcienic_regs_c     <pcienic_regs.h>: macros, C11 and C++
#   pcienic_regs_cpp   <pcienic/registers.hpp>: register types and memory structures; <pcienic/register_table.hpp>: every
#                      register as data
# Linking one of them gives the include folder, and generates before compiling. Without Python and PyYAML the files are
# those that qemu-device/registers/kept has; a test holds them to the description.

set(PCIENIC_REGISTERS_DIR ${PROJECT_SOURCE_DIR}/qemu-device/registers)
set(PCIENIC_GENERATED_DIR ${PROJECT_BINARY_DIR}/generated)
# The distribution's, whose PyYAML is a package of the distribution.
set(PCIENIC_PYTHON /usr/bin/python3 CACHE FILEPATH "Python with PyYAML, for the register headers")
set(PCIENIC_GENERATE ${PCIENIC_PYTHON} -B ${PCIENIC_REGISTERS_DIR}/generate.py)
file(GLOB PCIENIC_GENERATOR_FILES CONFIGURE_DEPENDS ${PCIENIC_REGISTERS_DIR}/*.py ${PCIENIC_REGISTERS_DIR}/*.yaml)

execute_process(COMMAND ${PCIENIC_PYTHON} -c "import yaml" RESULT_VARIABLE no_generator OUTPUT_QUIET ERROR_QUIET)
if(no_generator)
  message(STATUS "No Python with PyYAML: the register headers are those that are kept")
  foreach(file IN ITEMS pcienic_regs.h pcienic/registers.hpp pcienic/register_table.hpp)
    get_filename_component(name ${file} NAME)
    configure_file(${PCIENIC_REGISTERS_DIR}/kept/${name} ${PCIENIC_GENERATED_DIR}/${file} COPYONLY)
  endforeach()
  add_custom_target(pcienic_registers)
else()
  # The stamp is the output and the files are by-products, so that a file whose text stays the same rebuilds nothing.
  add_custom_command(
    OUTPUT ${PCIENIC_GENERATED_DIR}/stamp
    BYPRODUCTS ${PCIENIC_GENERATED_DIR}/pcienic_regs.h ${PCIENIC_GENERATED_DIR}/pcienic/registers.hpp
               ${PCIENIC_GENERATED_DIR}/pcienic/register_table.hpp ${PCIENIC_GENERATED_DIR}/registers.json
    COMMAND ${PCIENIC_GENERATE} --c ${PCIENIC_GENERATED_DIR}/pcienic_regs.h
            --cpp ${PCIENIC_GENERATED_DIR}/pcienic/registers.hpp --table ${PCIENIC_GENERATED_DIR}/pcienic/register_table.hpp
            --json ${PCIENIC_GENERATED_DIR}/registers.json
    COMMAND ${CMAKE_COMMAND} -E touch ${PCIENIC_GENERATED_DIR}/stamp
    DEPENDS ${PCIENIC_GENERATOR_FILES}
    COMMENT "Generating the register headers"
    VERBATIM)
  add_custom_target(pcienic_registers DEPENDS ${PCIENIC_GENERATED_DIR}/stamp)
endif()

add_library(pcienic_regs_c INTERFACE)
target_include_directories(pcienic_regs_c INTERFACE $<BUILD_INTERFACE:${PCIENIC_GENERATED_DIR}>)
add_dependencies(pcienic_regs_c pcienic_registers)

add_library(pcienic_regs_cpp INTERFACE)
target_include_directories(pcienic_regs_cpp INTERFACE $<BUILD_INTERFACE:${PCIENIC_GENERATED_DIR}>
                           $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/uio-vfio-lib/include>)  # uiovfio/register.hpp
add_dependencies(pcienic_regs_cpp pcienic_registers)

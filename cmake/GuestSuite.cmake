# SPDX-License-Identifier: MIT
# GoogleTest programs whose cases run in a guest. A suite is one boot of one virtual machine; each of its cases is a
# test of ctest's own all the same:
#   guest.SUITE.BOOT        boots the guest once, runs the programs, keeps the logs (a fixture of the following)
#   guest.SUITE.Suite.Case  reports on that case from the logs: passed, failed, skipped, crashed, lost, not run
#   guest.SUITE.HEALTH      fails on what no case carries: a kernel oops, a fault that no test announced, a leak
# `ctest -R Suite.Case` boots by itself; PCIENIC_GTEST_FILTER in the environment makes BOOT run that filter only.

set(PCIENIC_VMRUN ${PROJECT_SOURCE_DIR}/guest-image/runner/vmrun)
file(GLOB PCIENIC_VMRUN_MODULES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/guest-image/runner/vmrunner/*.py)

# pcienic_add_guest_program(NAME SOURCES f... [DEPENDS our-library...] [LINK other-target...] [FLAVOUR plain|asan|tsan])
# A GoogleTest program for the guest, with the main program of tests/guest/support.
function(pcienic_add_guest_program NAME)
  cmake_parse_arguments(A "" "FLAVOUR" "SOURCES;DEPENDS;LINK" ${ARGN})
  pcienic_add_executable(${NAME} FLAVOUR ${A_FLAVOUR} SOURCES ${A_SOURCES}
                         DEPENDS pcienic_guest_support ${A_DEPENDS} LINK ${A_LINK})
  target_compile_definitions(${NAME} PRIVATE ${PCIENIC_CHECKS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/guest-tests)
endfunction()

# pcienic_add_guest_suite(NAME PROGRAMS program... [DEVICES spec...] [QEMU_ARGS word...] [ENV NAME=VALUE...]
#                         [LABELS label...] [FILTER gtest-filter] [EXPECT_FAILED case...] [KERNEL name]
#                         [DRIVER driver] [AS_USER] [NO_IOMMU] [IOMMU_WIDTH bits] [APPEND word...]
#                         [PUT FILE[:DEST]...] [TRACE event...])
# DEVICES are QEMU's (`pcienic,vectors=1`; `none` for no device), by default one pcienic; KERNEL and what follows are
# the runner's options of those names. A case's name must be unique
# within the suite; which cases there are is asked of the programs when they have been built. An EXPECT_FAILED case
# must run and fail, by its own assertions: so it is proved that a test can tell a broken device from a good one.
function(pcienic_add_guest_suite NAME)
  cmake_parse_arguments(A "AS_USER;NO_IOMMU" "KERNEL;FILTER;DRIVER;IOMMU_WIDTH"
                        "PROGRAMS;DEVICES;QEMU_ARGS;ENV;LABELS;EXPECT_FAILED;APPEND;PUT;TRACE" ${ARGN})
  set(logs ${PROJECT_BINARY_DIR}/guest-logs/${NAME})
  set(list ${CMAKE_CURRENT_BINARY_DIR}/guest-${NAME}-cases.txt)

  set(boot ${PCIENIC_VMRUN} suite --name ${NAME} --log-dir ${logs} --build ${PROJECT_BINARY_DIR})
  set(programs)
  foreach(program IN LISTS A_PROGRAMS)
    list(APPEND programs --program $<TARGET_FILE:${program}>)
  endforeach()
  foreach(device IN LISTS A_DEVICES)
    list(APPEND boot --device=${device})
  endforeach()
  foreach(word IN LISTS A_QEMU_ARGS)
    list(APPEND boot --qemu=${word})
  endforeach()
  foreach(variable IN LISTS A_ENV)
    list(APPEND boot --env=${variable})
  endforeach()
  foreach(file IN LISTS A_PUT)
    list(APPEND boot --put=${file})
  endforeach()
  set(must_exist ${A_EXPECT_FAILED})
  list(TRANSFORM must_exist PREPEND --must-exist=)
  set(filter)
  if(A_FILTER)
    set(filter --filter=${A_FILTER})
  endif()
  if(A_KERNEL)
    list(APPEND boot --kernel ${A_KERNEL})
  endif()
  foreach(option IN ITEMS DRIVER IOMMU_WIDTH)
    if(A_${option})
      string(TOLOWER ${option} word)
      string(REPLACE _ - word ${word})
      list(APPEND boot --${word}=${A_${option}})
    endif()
  endforeach()
  foreach(word IN LISTS A_APPEND)
    list(APPEND boot --append=${word})
  endforeach()
  foreach(event IN LISTS A_TRACE)
    list(APPEND boot --trace=${event})
  endforeach()
  if(A_AS_USER)
    list(APPEND boot --user)
  endif()
  if(A_NO_IOMMU)
    list(APPEND boot --no-iommu)
  endif()

  add_test(NAME guest.${NAME}.BOOT COMMAND ${boot} ${programs} ${filter})
  set_tests_properties(guest.${NAME}.BOOT PROPERTIES
    FIXTURES_SETUP guest.${NAME} RESOURCE_LOCK guest-vm PROCESSORS 2 LABELS "guest;${A_LABELS}"
    TIMEOUT 3600)  # the runner's own watchdogs are shorter, and say what hung
  add_test(NAME guest.${NAME}.HEALTH COMMAND ${PCIENIC_VMRUN} health --log-dir ${logs})
  set_tests_properties(guest.${NAME}.HEALTH PROPERTIES FIXTURES_REQUIRED guest.${NAME} LABELS "guest;${A_LABELS}")

  add_custom_command(OUTPUT ${list}
    COMMAND ${PCIENIC_VMRUN} cases ${programs} ${filter} ${must_exist} --output ${list}
    DEPENDS ${A_PROGRAMS} ${PCIENIC_VMRUN} ${PCIENIC_VMRUN_MODULES}
    COMMENT "Listing the cases of guest suite ${NAME}" VERBATIM)
  add_custom_target(guest_suite_${NAME} ALL DEPENDS ${list})

  # Read by ctest, not by cmake: the cases are known only once the programs are built.
  set(include ${CMAKE_CURRENT_BINARY_DIR}/guest-${NAME}-tests.cmake)
  file(CONFIGURE OUTPUT ${include} @ONLY CONTENT [==[
if(EXISTS "@list@")
  file(STRINGS "@list@" cases)
  set(expect_failed "@A_EXPECT_FAILED@")
  foreach(case IN LISTS cases)
    set(expectation)
    list(FIND expect_failed "${case}" index)
    if(index GREATER -1)
      set(expectation --expect-failed)
    endif()
    add_test("guest.@NAME@.${case}" "@PCIENIC_VMRUN@" report --log-dir "@logs@" --case "${case}" ${expectation})
    set_tests_properties("guest.@NAME@.${case}" PROPERTIES
      FIXTURES_REQUIRED "guest.@NAME@" SKIP_RETURN_CODE 77 LABELS "guest;@A_LABELS@")
  endforeach()
else()
  add_test("guest.@NAME@_NOT_BUILT" "guest.@NAME@_NOT_BUILT")
endif()
]==])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include})
endfunction()

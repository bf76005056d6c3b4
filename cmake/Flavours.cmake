# SPDX-License-Identifier: MIT
# Every library and unit test of ours exists in three flavours in the one build tree, so that ctest is the one list:
# NAME (as configured), NAME_asan (AddressSanitizer and UndefinedBehaviorSanitizer) and NAME_tsan (ThreadSanitizer).
# Anything linked into one process is compiled in one flavour.

find_package(GTest REQUIRED)
include(GoogleTest)

set(PCIENIC_FLAVOURS plain asan tsan)
set(PCIENIC_FLAGS_plain "")
set(PCIENIC_FLAGS_asan -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
set(PCIENIC_FLAGS_tsan -fsanitize=thread -fno-omit-frame-pointer -O1)
set(PCIENIC_SUFFIX_plain "")
set(PCIENIC_SUFFIX_asan _asan)
set(PCIENIC_SUFFIX_tsan _tsan)
set(PCIENIC_LABEL_plain unit)
set(PCIENIC_LABEL_asan asan)
set(PCIENIC_LABEL_tsan tsan)

set(PCIENIC_WARNINGS -Wall -Wextra -Wshadow -Wconversion -Werror
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 14)
  # It takes the inlined delete of a std::vector for one of an object that is not on the heap.
  list(APPEND PCIENIC_WARNINGS -Wno-error=free-nonheap-object)
endif()

function(_pcienic_flavour TARGET FLAVOUR)
  target_compile_options(${TARGET} PRIVATE ${PCIENIC_WARNINGS} ${PCIENIC_FLAGS_${FLAVOUR}})
  if(PCIENIC_FLAGS_${FLAVOUR})
    target_link_options(${TARGET} PRIVATE ${PCIENIC_FLAGS_${FLAVOUR}})
  endif()
endfunction()

# pcienic_add_library(NAME SOURCES f... [INCLUDE dir...] [DEPENDS our-library...] [LINK other-target...] [AFTER target...])
# INCLUDE and LINK are public. DEPENDS names libraries made by this function; each flavour links the same flavour.
# AFTER names targets that must be built first (generated headers).
function(pcienic_add_library NAME)
  cmake_parse_arguments(A "" "" "SOURCES;INCLUDE;DEPENDS;LINK;AFTER" ${ARGN})
  foreach(flavour IN LISTS PCIENIC_FLAVOURS)
    set(target ${NAME}${PCIENIC_SUFFIX_${flavour}})
    add_library(${target} STATIC ${A_SOURCES})
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    if(NOT flavour STREQUAL plain)
      set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)  # only its tests want it
    endif()
    _pcienic_flavour(${target} ${flavour})
    foreach(dir IN LISTS A_INCLUDE)
      target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${dir}>)
    endforeach()
    foreach(dependency IN LISTS A_DEPENDS)
      target_link_libraries(${target} PUBLIC ${dependency}${PCIENIC_SUFFIX_${flavour}})
    endforeach()
    target_link_libraries(${target} PUBLIC ${A_LINK})
    if(A_AFTER)
      add_dependencies(${target} ${A_AFTER})
    endif()
  endforeach()
endfunction()

# pcienic_add_executable(NAME SOURCES f... [DEPENDS our-library...] [LINK other-target...] [FLAVOUR plain|asan|tsan])
function(pcienic_add_executable NAME)
  cmake_parse_arguments(A "" "FLAVOUR" "SOURCES;DEPENDS;LINK" ${ARGN})
  if(NOT A_FLAVOUR)
    set(A_FLAVOUR plain)
  endif()
  add_executable(${NAME} ${A_SOURCES})
  _pcienic_flavour(${NAME} ${A_FLAVOUR})
  foreach(dependency IN LISTS A_DEPENDS)
    target_link_libraries(${NAME} PRIVATE ${dependency}${PCIENIC_SUFFIX_${A_FLAVOUR}})
  endforeach()
  target_link_libraries(${NAME} PRIVATE ${A_LINK})
endfunction()

# pcienic_add_unit_test(NAME SOURCES f... [DEPENDS our-library...] [LINK other-target...] [FLAVOURS flavour...]
#                       [FILTER gtest-filter])
# Builds NAME, NAME_asan and NAME_tsan; their cases are ctest's unit.*, asan.* and tsan.*, labelled likewise. FLAVOURS
# leaves some out: where there is one thread, ThreadSanitizer finds nothing. FILTER keeps ctest to some of the cases.
function(pcienic_add_unit_test NAME)
  cmake_parse_arguments(A "" "FILTER" "SOURCES;DEPENDS;LINK;FLAVOURS" ${ARGN})
  set(filter)
  if(A_FILTER)
    set(filter TEST_FILTER ${A_FILTER})
  endif()
  if(NOT A_FLAVOURS)
    set(A_FLAVOURS ${PCIENIC_FLAVOURS})
  endif()
  foreach(flavour IN LISTS A_FLAVOURS)
    set(target ${NAME}${PCIENIC_SUFFIX_${flavour}})
    set(label ${PCIENIC_LABEL_${flavour}})
    pcienic_add_executable(${target} FLAVOUR ${flavour} SOURCES ${A_SOURCES} DEPENDS ${A_DEPENDS}
                           LINK ${A_LINK} GTest::gmock GTest::gtest_main)
    target_compile_options(${target} PRIVATE -O0)  # a test's own code is compiled far more often than it is run
    gtest_discover_tests(${target} TEST_PREFIX ${label}. ${filter} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS ${label} TIMEOUT 300)
  endforeach()
endfunction()

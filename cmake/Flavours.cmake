# SPDX-License-Identifier: MIT
# Every library and unit test of ours exists in three flavours in the one build tree, so that ctest is the one list:
# NAME (as configured), NAME_asan (AddressSanitizer and UndefinedBehaviorSanitizer) and NAME_tsan (ThreadSanitizer).
# Anything linked into one process is compiled in one flavour.

set(PCIENIC_FLAVOURS plain)
if(PCIENIC_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  list(APPEND PCIENIC_FLAVOURS asan tsan)
endif()
set(PCIENIC_FLAGS_plain "")
set(PCIENIC_FLAGS_asan -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -O1)
set(PCIENIC_FLAGS_tsan -fsanitize=thread -fno-omit-frame-pointer -O1)
set(PCIENIC_SUFFIX_plain "")
set(PCIENIC_SUFFIX_asan _asan)
set(PCIENIC_SUFFIX_tsan _tsan)
set(PCIENIC_LABEL_plain unit)
set(PCIENIC_LABEL_asan asan)
set(PCIENIC_LABEL_tsan tsan)

# For what only tests run: accesses beyond a window (uiovfio/checked.hpp) and beyond a span stop the program.
set(PCIENIC_CHECKS UIOVFIO_CHECKED _GLIBCXX_ASSERTIONS)

set(PCIENIC_WARNINGS -Wall -Wextra -Wshadow -Wconversion $<$<BOOL:${PCIENIC_WERROR}>:-Werror>
    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor -Woverloaded-virtual>
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 14)
  # It takes the inlined delete of a std::vector for one of an object that is not on the heap.
  list(APPEND PCIENIC_WARNINGS -Wno-error=free-nonheap-object)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # At -O3 it takes what is inserted into a std::string for a piece of that string.
  list(APPEND PCIENIC_WARNINGS $<$<CONFIG:Release>:-Wno-restrict>)
endif()

function(_pcienic_flavour TARGET FLAVOUR)
  target_compile_options(${TARGET} PRIVATE ${PCIENIC_WARNINGS} ${PCIENIC_FLAGS_${FLAVOUR}})
  if(PCIENIC_FLAGS_${FLAVOUR})
    target_link_options(${TARGET} PRIVATE ${PCIENIC_FLAGS_${FLAVOUR}})
  endif()
endfunction()

# Compiles the target with its public headers, except those that need Boost, included first and marked as what it shows:
# the headers themselves need no mark, and a new one cannot lack it.
function(_pcienic_show_headers TARGET)
  set(text "#pragma GCC visibility push(default)\n")
  foreach(dir IN LISTS ARGN)
    file(GLOB headers CONFIGURE_DEPENDS RELATIVE ${dir} ${dir}/*/*.hpp)
    list(FILTER headers EXCLUDE REGEX asio|async)
    foreach(header IN LISTS headers)
      string(APPEND text "#include <${header}>\n")
    endforeach()
  endforeach()
  set(file ${CMAKE_CURRENT_BINARY_DIR}/${TARGET}_shown.hpp)
  file(CONFIGURE OUTPUT ${file} CONTENT "${text}#pragma GCC visibility pop\n")
  target_compile_options(${TARGET} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:SHELL:-include ${file}>)
endfunction()

# pcienic_add_library(NAME [PACKAGED] SOURCES f... [INCLUDE dir...] [DEPENDS our-library...] [LINK other-target...]
#                     [AFTER target...])
# A PACKAGED library is a shared one with BUILD_SHARED_LIBS, and then shows what its public headers declare, in INCLUDE,
# and no more. INCLUDE and LINK are public. DEPENDS names libraries made by this function; each flavour links the same flavour.
# AFTER names targets that must be built first (generated headers).
function(pcienic_add_library NAME)
  cmake_parse_arguments(A "PACKAGED" "" "SOURCES;INCLUDE;DEPENDS;LINK;AFTER" ${ARGN})
  set(kind STATIC)
  if(A_PACKAGED AND BUILD_SHARED_LIBS)
    set(kind SHARED)
  endif()
  foreach(flavour IN LISTS PCIENIC_FLAVOURS)
    set(target ${NAME}${PCIENIC_SUFFIX_${flavour}})
    add_library(${target} ${kind} ${A_SOURCES})
    if(BUILD_SHARED_LIBS)
      set_target_properties(${target} PROPERTIES C_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden)
    endif()
    if(kind STREQUAL SHARED)
      set_target_properties(${target} PROPERTIES VERSION ${PROJECT_VERSION}
                            SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                            INSTALL_RPATH $ORIGIN)  # our other one lies beside it
      _pcienic_show_headers(${target} ${A_INCLUDE})
    endif()
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    if(NOT flavour STREQUAL plain)
      set_target_properties(${target} PROPERTIES EXCLUDE_FROM_ALL ON)  # only its tests want it
      target_compile_definitions(${target} PRIVATE ${PCIENIC_CHECKS})
    endif()
    _pcienic_flavour(${target} ${flavour})
    foreach(dir IN LISTS A_INCLUDE)
      target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${dir}>)
    endforeach()
    foreach(dependency IN LISTS A_DEPENDS)
      set(scope PUBLIC)
      get_target_property(type ${dependency} TYPE)
      if(kind STREQUAL SHARED AND type STREQUAL STATIC_LIBRARY)
        set(scope PRIVATE)  # it is inside
      endif()
      target_link_libraries(${target} ${scope} ${dependency}${PCIENIC_SUFFIX_${flavour}})
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
# Builds NAME, NAME_asan and NAME_tsan, with the checks of uiovfio/checked.hpp and of the standard library; their cases
# are ctest's unit.*, asan.* and tsan.*, labelled likewise. FLAVOURS leaves some out: where there is one thread,
# ThreadSanitizer finds nothing. FILTER keeps ctest to some of the cases.
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
    target_compile_definitions(${target} PRIVATE ${PCIENIC_CHECKS})
    target_compile_options(${target} PRIVATE -O0)  # a test's own code is compiled far more often than it is run
    gtest_discover_tests(${target} TEST_PREFIX ${label}. ${filter} DISCOVERY_MODE PRE_TEST PROPERTIES LABELS ${label} TIMEOUT 300)
  endforeach()
endfunction()

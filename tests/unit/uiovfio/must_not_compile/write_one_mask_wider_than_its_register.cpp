// SPDX-License-Identifier: MIT
// says: overflow
// says: narrowing
// says: cannot be narrowed
// says: conversion from
#include <uiovfio/register.hpp>

using namespace uiovfio;

#ifdef MISTAKE
struct Port : Register<0x10, std::uint16_t, Access::rw, 0x1'0000> {};
#else
struct Port : Register<0x10, std::uint16_t, Access::rw, 0x8000> {};
#endif

Port::Value none() { return {}; }

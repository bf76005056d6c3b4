// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// The whole library except for uiovfio/asio.hpp and uiovfio/asio_hybrid.hpp, which need Boost, and uiovfio/sim.hpp.

#include "uiovfio/backends.hpp"
#include "uiovfio/bar.hpp"
#include "uiovfio/bdf.hpp"
#include "uiovfio/bind.hpp"
#include "uiovfio/config_space.hpp"
#include "uiovfio/device.hpp"
#include "uiovfio/device_events.hpp"
#include "uiovfio/dma.hpp"
#include "uiovfio/error.hpp"
#include "uiovfio/fault_guard.hpp"
#include "uiovfio/hybrid.hpp"
#include "uiovfio/interrupts.hpp"
#include "uiovfio/iova.hpp"
#include "uiovfio/machine.hpp"
#include "uiovfio/mmio.hpp"
#include "uiovfio/register.hpp"
#include "uiovfio/subscription.hpp"
#include "uiovfio/sysfs.hpp"
#include "uiovfio/trace.hpp"
#include "uiovfio/use.hpp"
#include "uiovfio/window.hpp"

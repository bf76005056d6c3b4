/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One source for QEMU 7.2 to 11.x.
 *
 * This is the only file that knows QEMU versions. A device includes
 * "qemu/osdep.h", then this header, and then writes code that reads the same
 * whatever tree it is built in. Where a change can be seen by the compiler (a
 * header, a macro) it is looked for, because distributions backport: Debian's
 * 7.2.22 has the re-entrancy guard that came upstream with 8.1. Only what
 * cannot be seen is told by the version.
 *
 * What needs no help, and should be written like this everywhere:
 *   - arrays of VMStateField are const, `.subsections` an array of type
 *     `const VMStateDescription *[]`;
 *   - arrays of InterfaceInfo are not const;
 *   - reset by phases only: `dc->reset` went away with 9.2.
 */
#ifndef PCIENIC_COMPAT_H
#define PCIENIC_COMPAT_H

#define PCIENIC_QEMU_SINCE(major, minor)                                       \
    (QEMU_VERSION_MAJOR > (major) ||                                           \
     (QEMU_VERSION_MAJOR == (major) && QEMU_VERSION_MINOR >= (minor)))

#if !PCIENIC_QEMU_SINCE(7, 2)
#error "pcienic needs QEMU 7.2 or later"
#endif

/*
 * Headers that moved: hw/core/ in 11.0, system/ in 10.0 (address-spaces.h
 * later), pci_device.h in 8.0
 */

#include "qapi/error.h"
#include "qemu/log.h"
#include "qemu/main-loop.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "migration/vmstate.h"

#if __has_include("hw/core/qdev-properties.h")
#include "hw/core/qdev-properties.h"
#else
#include "hw/qdev-properties.h"
#endif

#if __has_include("hw/core/resettable.h")
#include "hw/core/resettable.h"
#else
#include "hw/resettable.h"
#endif

#if __has_include("hw/core/registerfields.h")
#include "hw/core/registerfields.h"
#else
#include "hw/registerfields.h"
#endif

#if __has_include("system/address-spaces.h")
#include "system/address-spaces.h"
#else
#include "exec/address-spaces.h"
#endif

#include "hw/pci/pci.h"
#if __has_include("hw/pci/pci_device.h")
#include "hw/pci/pci_device.h"
#endif
#include "hw/pci/pci_bridge.h"
#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_aer.h"

#if __has_include("system/runstate.h")
#include "system/runstate.h"
#else
#include "sysemu/runstate.h"
#endif

/*
 * Property arrays: `static PcienicProperty name[] = { ..., PCIENIC_PROP_END };`
 * with PCIENIC_PROP_END as the last line, without a comma. They ended with a
 * marker until 10.0 counted them, and insisted that they be const.
 */
#ifdef DEFINE_PROP_END_OF_LIST
typedef Property PcienicProperty;
#define PCIENIC_PROP_END DEFINE_PROP_END_OF_LIST(),
#else
typedef const Property PcienicProperty;
#define PCIENIC_PROP_END
#endif

/* class_init(ObjectClass *klass, PcienicClassData *data): const since 10.1 */
#if PCIENIC_QEMU_SINCE(10, 1)
typedef const void PcienicClassData;
#else
typedef void PcienicClassData;
#endif

/*
 * Reset phases. `hold` and `exit` take the type of the reset since 9.1, which
 * these devices do not ask for: every reset is a cold one to them. Write
 *
 *     static void PCIENIC_RESET_HOLD(my_reset_hold, obj) { ... }
 *
 * and register with PCIENIC_SET_RESET_PHASES(klass, enter, hold, exit), where
 * NULL leaves a phase out. `enter` is (Object *obj, ResetType type) everywhere.
 */
#if PCIENIC_QEMU_SINCE(9, 1)
#define PCIENIC_RESET_HOLD(name, obj) name(Object *obj, ResetType reset_type)
#else
#define PCIENIC_RESET_HOLD(name, obj) name(Object *obj)
#endif
#define PCIENIC_RESET_EXIT(name, obj) PCIENIC_RESET_HOLD(name, obj)

#define PCIENIC_SET_RESET_PHASES(klass, enter_, hold_, exit_)                  \
    do {                                                                       \
        ResettableClass *rc_ = RESETTABLE_CLASS(klass);                        \
                                                                               \
        rc_->phases.enter = (enter_);                                          \
        rc_->phases.hold = (hold_);                                            \
        rc_->phases.exit = (exit_);                                            \
    } while (0)

/*
 * A bottom half that QEMU refuses to let re-enter its own device: DMA aimed at
 * the device's own BAR ends as a bus error instead of recursion. Trees before
 * 8.1 without the backport lack the guard; a device that sets
 * MemTxAttrs::memory on its DMA never reaches an MMIO handler there either.
 * dev is a DeviceState. A macro, since QEMU names the bottom half after the
 * callback it was given.
 */
#ifdef qemu_bh_new_guarded
#define pcienic_bh_new(callback, opaque, dev)                                  \
    qemu_bh_new_guarded(callback, opaque, &(dev)->mem_reentrancy_guard)
#else
#define pcienic_bh_new(callback, opaque, dev) qemu_bh_new(callback, opaque)
#endif

/* memory_region_init_ram() tells success by its return value only since 9.0 */
static inline bool pcienic_init_ram(MemoryRegion *region, Object *owner,
                                    const char *name, uint64_t size,
                                    Error **errp)
{
    ERRP_GUARD();

    memory_region_init_ram(region, owner, name, size, errp);
    return !*errp;
}

/*
 * The device itself has written to its RAM. What follows in QEMU from a write
 * through it has to follow from this one: who migrates or shows the memory sees
 * it, and what was translated of code in it ends. That is what the end of a
 * mapping does, which drops a reference on the region, too.
 */
static inline void pcienic_ram_written(MemoryRegion *region, hwaddr offset,
                                       hwaddr length)
{
    uint8_t *bytes = memory_region_get_ram_ptr(region);

    memory_region_ref(region);
    address_space_unmap(&address_space_memory, bytes + offset, length, true,
                        length);
}

/*
 * The end of msix_init_exclusive_bar(), for a device's exit. QEMU frees table
 * and PBA; but a processor that was about to access them when the device was
 * unplugged still calls the two regions' functions, which end QEMU then by an
 * assertion. Such an access finds other functions here.
 */
static inline uint64_t pcienic_gone_read(void *opaque, hwaddr offset,
                                         unsigned size)
{
    return UINT64_MAX;
}

static inline void pcienic_gone_write(void *opaque, hwaddr offset,
                                      uint64_t value, unsigned size)
{
}

static inline void pcienic_msix_bar_exit(PCIDevice *dev)
{
    static const MemoryRegionOps gone = {
        .read = pcienic_gone_read,
        .write = pcienic_gone_write,
        .endianness = DEVICE_LITTLE_ENDIAN,
    };

    if (msix_present(dev)) {
        msix_uninit_exclusive_bar(dev);
        dev->msix_table_mmio.ops = &gone;
        dev->msix_pba_mmio.ops = &gone;
    }
}

/*
 * Power management, version 3, D0 and D3hot, with the context kept on the way
 * back to D0. Returns the capability's offset, or a negative number with errp.
 * Since 10.0 QEMU's PCI core knows the capability (it stops decoding the BARs
 * of a device in D3hot, and resets the state); before, pcienic_pm_reset() does
 * the second, and the device asks pcienic_pm_in_d0() before it does anything,
 * and takes its BARs away that others answer for.
 */
static inline int pcienic_pm_init(PCIDevice *dev, uint8_t offset, Error **errp)
{
#if PCIENIC_QEMU_SINCE(10, 0)
    int cap = pci_pm_init(dev, offset, errp);
#else
    int cap =
        pci_add_capability(dev, PCI_CAP_ID_PM, offset, PCI_PM_SIZEOF, errp);
#endif

    if (cap < 0) {
        return cap;
    }
    pci_set_word(dev->config + cap + PCI_PM_PMC, 3);
    pci_set_word(dev->config + cap + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(dev->wmask + cap + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    return cap;
}

static inline void pcienic_pm_reset(PCIDevice *dev, int cap)
{
    pci_word_test_and_clear_mask(dev->config + cap + PCI_PM_CTRL,
                                 PCI_PM_CTRL_STATE_MASK);
}

static inline bool pcienic_pm_in_d0(const PCIDevice *dev, int cap)
{
    return (pci_get_word(dev->config + cap + PCI_PM_CTRL) &
            PCI_PM_CTRL_STATE_MASK) == 0;
}

#endif
